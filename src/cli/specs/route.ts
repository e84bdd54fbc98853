/**
 * `plinth route`: the definition.
 */
import type { CommandSpec } from "../Spec.ts"
import { database, output } from "./standardOptions.ts"

export const route = {
  name: "route",
  summary: "Say whether a replica may serve a statement, and why",
  description: [
    "Classes: read (a replica may serve it), write (the primary), session (it changes the connection), unknown (treated as a write).",
    "With a URL the functions and views of that database are known; without one, the built-in catalogue of PostgreSQL. No server is needed.",
    'With --json and no argument it reads statements from stdin, one JSON string per line, and prints one JSON object per line, in order: {"sql", "class", "reason"}.'
  ],
  options: { ...database, ...output },
  arguments: [{ name: "sql", optional: true, repeatable: true, description: "The statement; stdin if there is none" }],
  examples: [
    { command: 'plinth route "SELECT now()"', does: "one statement" },
    { command: "jq -c .sql log.jsonl | plinth route --json", does: "a whole log" }
  ]
} as const satisfies CommandSpec
