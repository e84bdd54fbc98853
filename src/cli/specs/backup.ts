/**
 * `plinth backup`: the definition.
 */
import type { CommandSpec } from "../Spec.ts"
import { database, output, storage } from "./standardOptions.ts"

const label = {
  name: "label",
  optional: true,
  description: "The backup; the newest one if none is named"
} as const

export const create = {
  name: "create",
  summary: "Make a physical backup of the whole cluster",
  description: [
    "Over the replication protocol, with a SHA-256 of every file; no client tools are needed. A backup appears under its name only when it is complete: what is interrupted leaves nothing.",
    "Needs a URL or --embedded, so that a misspelt variable cannot back up an empty cluster."
  ],
  options: {
    ...database,
    storage,
    compress: {
      name: "compress",
      value: "method",
      choices: ["gzip", "none"],
      default: "gzip",
      description: "How the files are stored"
    },
    ...output
  },
  json: "plinth.backup.create/1",
  examples: [
    { command: "plinth backup create --storage /var/backups/orders", does: "back up the cluster of DATABASE_URL" }
  ]
} as const satisfies CommandSpec

export const list = {
  name: "list",
  summary: "List the complete backups, newest first",
  options: { storage, ...output },
  json: "plinth.backup.list/1"
} as const satisfies CommandSpec

export const show = {
  name: "show",
  summary: "Show a backup's manifest, and how to restore it without Plinth",
  options: { storage, ...output },
  arguments: [label],
  json: "plinth.backup.show/1"
} as const satisfies CommandSpec

export const verify = {
  name: "verify",
  summary: "Read every byte of a backup again and compare it with its SHA-256",
  options: { storage, ...output },
  arguments: [label],
  json: "plinth.backup.verify/1",
  exits: [[1, "damaged, or it could not be read"]]
} as const satisfies CommandSpec

export const restore = {
  name: "restore",
  summary: "Restore a backup into a new data directory",
  description: [
    "Never into a directory that holds something. Every byte is checked on the way; a PostgreSQL of the same major version starts from the result."
  ],
  options: {
    storage,
    into: { name: "into", value: "directory", description: "The data directory to make; required" },
    ...output
  },
  arguments: [label],
  json: "plinth.backup.restore/1",
  examples: [
    { command: "plinth backup restore --into /var/lib/postgresql/restored", does: "the newest backup, ready to start" }
  ]
} as const satisfies CommandSpec

export const backup = {
  name: "backup",
  summary: "Make backups that are proven to restore",
  options: {},
  commands: [create, list, show, verify, restore]
} as const satisfies CommandSpec
