/**
 * `plinth setup`: the definition.
 */
import type { CommandSpec } from "../Spec.ts"
import { database, databaseName, dir, output, seeds } from "./standardOptions.ts"

export const setup = {
  name: "setup",
  summary: "Take a database from nothing to ready",
  description: [
    "Checks the connection and the privileges, creates the database if asked, applies the migrations, seeds if asked, and ends with a health check. Run it as often as you like: what is there is left alone.",
    "A file of seeds is loaded once, which the database remembers by its content: a changed file is loaded again, so write it to be run twice; `plinth reset --seed` begins anew.",
    "Seeds are data of development: into a database marked as production (`plinth config mark production`) they are loaded only for its name, asked for before anything is changed.",
    "Without a URL it makes an embedded PostgreSQL in .plinth/."
  ],
  options: {
    ...database,
    dir,
    createDatabase: { name: "create-database", description: "Create the database of the URL if it does not exist" },
    seed: { name: "seed", description: "Load the seeds that were not loaded yet" },
    seeds,
    databaseName,
    plan: { name: "plan", description: "Show the steps, and change nothing" },
    ...output
  },
  json: {
    schema: "plinth.setup/1",
    members: { database: "host:port/database", steps: "step, state (ok, done, to do, skipped, warning), detail" }
  },
  exits: [[3, "with --plan: there is something to do"]],
  examples: [
    { command: "plinth setup --seed", does: "an embedded database with the schema and the seeds" },
    { command: "plinth setup --plan", does: "what would be done, step by step" }
  ]
} as const satisfies CommandSpec
