/**
 * `plinth migrate`: the definition.
 */
import type { CommandSpec, ExitSpec } from "../Spec.ts"
import { database, databaseName, dir, output, storage, yes } from "./standardOptions.ts"

const refusals: ReadonlyArray<ExitSpec> = [
  [4, "refused: an older migration is pending behind a newer applied one"],
  [5, "refused: what was applied and what is in the folder differ"]
]

const exits: ReadonlyArray<ExitSpec> = [
  [1, "failed; what was done before it is said, and the next run goes on from there"],
  ...refusals
]

const pendingExits: ReadonlyArray<ExitSpec> = [
  [1, "failed, or `up` would be refused for another reason than these"],
  [3, "with --exit-code: migrations are pending"],
  [4, "`up` would be refused: an older migration is pending behind a newer applied one"],
  [5, "`up` would be refused: what was applied and what is in the folder differ"]
]

const shared = { ...database, dir, ...output } as const

const exitCode = {
  name: "exit-code",
  description: "Exit 3 when migrations are pending"
} as const

const outOfOrder = {
  name: "out-of-order",
  description: "Apply an older pending migration behind a newer applied one instead of refusing with exit 4"
} as const

const lockWait = {
  name: "lock-wait",
  value: "duration",
  default: "10m",
  description: "How long to wait for another process that migrates the same database"
} as const

export const plan = {
  name: "plan",
  summary: "Show what `up` would run, and change nothing",
  options: { ...shared, exitCode },
  json: {
    schema: "plinth.migrate.plan/1",
    members: {
      direction: "up or down",
      migrations:
        "what would run, in order: id, name, file, kind, language, transactional, done, segments of statements, losses, losesData",
      problems: "why it would be refused: reason, migration, location, description, advice",
      notes: "what is worth knowing"
    }
  },
  exits: pendingExits,
  examples: [{ command: "plinth migrate plan --exit-code", does: "in a pipeline: is the database behind the code?" }]
} as const satisfies CommandSpec

export const up = {
  name: "up",
  summary: "Apply the pending migrations",
  description: [
    "Each migration runs in its own transaction, cut only where PostgreSQL demands it (CREATE INDEX CONCURRENTLY). One process migrates at a time; the others wait and find nothing left to do.",
    "Whatever ends the run (an error, Ctrl-C, kill -9), the database says exactly what was done, and the next `up` goes on from there."
  ],
  options: {
    ...shared,
    to: { name: "to", value: "id", description: "Stop after this migration" },
    dryRun: { name: "dry-run", description: "The same as `plan`" },
    outOfOrder,
    lockWait
  },
  json: {
    schema: "plinth.migrate.up/1",
    members: { migrations: "what was applied, in order: id, name, file, millis" }
  },
  exits,
  examples: [
    { command: "plinth migrate up", does: "bring the database to the newest migration" },
    { command: "plinth migrate up --to 0004", does: "stop after 0004" }
  ]
} as const satisfies CommandSpec

export const down = {
  name: "down",
  summary: "Take the last migration back",
  description: [
    "Runs the `.down.sql` beside the migration, its `-- plinth:down` section, or the `down` of a program. The plan is shown and confirmed first: by the name of the database where rows or values would be lost, where nobody can know (a program), and where the database is marked as production."
  ],
  options: {
    ...shared,
    to: { name: "to", value: "id", description: "Take back everything after this migration, and keep it" },
    steps: { name: "steps", value: "number", default: "1", description: "How many migrations to take back" },
    dryRun: { name: "dry-run", description: "Show what would be taken back and lost, and change nothing" },
    lockWait,
    backup: { name: "backup", description: "Take a backup first" },
    storage,
    databaseName,
    yes
  },
  json: {
    schema: "plinth.migrate.down/1",
    members: { migrations: "what was taken back, in order: id, name, file, millis" }
  },
  exits,
  examples: [
    { command: "plinth migrate down --dry-run", does: "what would be lost" },
    { command: "plinth migrate down --steps 2 --yes", does: "take two back without being asked, unless data is lost" },
    { command: "plinth migrate down --backup --yes --database-name shop_dev", does: "lose data, and keep a backup" }
  ]
} as const satisfies CommandSpec

export const status = {
  name: "status",
  summary: "Show every migration, and whether it was applied",
  description: ["Answers without the privilege to create the history table, and changes nothing."],
  options: { ...shared, exitCode },
  json: {
    schema: "plinth.migrate.status/1",
    members: {
      pending: "how many `up` would apply",
      migrations: "all of them: id, name, kind, state, file, appliedAt, millis, appliedBy, progress",
      problems: "why `up` would be refused: reason, migration, location, description, advice",
      notes: "what is worth knowing"
    }
  },
  exits: pendingExits
} as const satisfies CommandSpec

export const create = {
  name: "create",
  summary: "Write an empty migration with the next number",
  options: {
    dir,
    kind: {
      name: "kind",
      value: "kind",
      choices: ["sql", "ts", "repeatable"],
      default: "sql",
      description: "SQL with a section for `down`, a TypeScript program, or SQL that runs again whenever it changes"
    },
    ...output
  },
  arguments: [{ name: "name", description: "What it does, in a few words" }],
  json: { schema: "plinth.migrate.create/1", members: { file: "the path of the new file" } },
  examples: [{ command: 'plinth migrate create "add order notes"', does: "a file, numbered like the others" }]
} as const satisfies CommandSpec

export const migrate = {
  name: "migrate",
  summary: "Change the schema, safely and from any number of processes at once",
  options: {},
  commands: [plan, up, down, status, create]
} as const satisfies CommandSpec
