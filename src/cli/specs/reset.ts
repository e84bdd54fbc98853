/**
 * `plinth reset`: the definition.
 */
import type { CommandSpec } from "../Spec.ts"
import { database, databaseName, dir, output, seeds, storage, yes } from "./standardOptions.ts"

export const reset = {
  name: "reset",
  summary: "Drop and recreate a development database, then migrate it",
  description: [
    "Shows what would be lost (tables, rows, size) and asks for the database's name. Refuses a database marked as production (`plinth config mark production`), a host that is not this machine, and a database that others are connected to.",
    "Takes a backup first when there are rows."
  ],
  options: {
    ...database,
    dir,
    seed: { name: "seed", description: "Load the seeds afterwards" },
    seeds,
    storage,
    noBackup: { name: "no-backup", description: "Do not take a backup first" },
    databaseName,
    allowRemote: { name: "allow-remote", description: "Allow a host that is not this machine" },
    force: { name: "force", description: "End the connections of others" },
    plan: { name: "plan", description: "Show what would be lost and done, and change nothing" },
    yes,
    ...output
  },
  json: {
    schema: "plinth.reset/1",
    members: {
      database: "host:port/database",
      plan: "whether nothing was done",
      lost: "tables (name, rows, isExact), rows, bytes",
      backup: "the label of the backup that was taken, or null",
      steps: "step, state, detail"
    }
  },
  exits: [[1, "failed, refused, or the answer was no"]],
  examples: [
    { command: "plinth reset --seed", does: "ask, back up, drop, create, migrate, seed" },
    { command: "plinth reset --yes --database-name shop_dev", does: "the same without a terminal" }
  ]
} as const satisfies CommandSpec
