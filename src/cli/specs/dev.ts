/**
 * `plinth dev`: the definition.
 */
import type { CommandSpec } from "../Spec.ts"
import { output } from "./standardOptions.ts"

export const dev = {
  name: "dev",
  summary: "Run an embedded PostgreSQL with replicas in the foreground",
  description: [
    "Prints the URLs and runs until Ctrl-C. On a terminal, keys act on a node: its number selects it; p pauses or resumes its replay, f freezes or thaws it, k kills it, s starts it, m promotes it, r makes it follow again, q ends.",
    "SIGTERM ends it too. npx does not pass that on: under a supervisor, run node_modules/.bin/plinth itself."
  ],
  options: {
    replicas: { name: "replicas", value: "number", default: "1", description: "How many streaming replicas" },
    lag: { name: "lag", value: "duration", description: "Let the replicas replay this late, as a distant one would" },
    directory: {
      name: "directory",
      value: "directory",
      default: ".plinth",
      description: "Where the cluster is kept between runs"
    },
    temporary: { name: "temporary", description: "Keep nothing: a new cluster that is gone at the end" },
    ...output
  },
  json: {
    schema: "plinth.dev/1",
    members: { serverVersion: "as server_version_num", nodes: "name, port, url; the primary first" }
  },
  examples: [{ command: "plinth dev --replicas 2 --lag 500ms", does: "a primary and two late replicas" }]
} as const satisfies CommandSpec
