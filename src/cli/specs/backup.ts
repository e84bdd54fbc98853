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

/** The members of a manifest. */
const manifest = {
  formatVersion: "the version of the manifest",
  plinthVersion: "who made it",
  label: "its name",
  status: "complete",
  engine: "physical",
  server: "version, versionNumber, systemIdentifier, node, inRecovery, walSegmentBytes",
  start: "lsn, timeline, at",
  stop: "lsn, timeline, at",
  compression: "algorithm, level",
  files: "kind, name, bytes, sha256, and of archives tarBytes and tablespace",
  warnings: "what to look at",
  recovery: "how to restore it without Plinth, line by line"
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
  json: { schema: "plinth.backup.create/1", members: manifest },
  examples: [
    { command: "plinth backup create --storage /var/backups/orders", does: "back up the cluster of DATABASE_URL" }
  ]
} as const satisfies CommandSpec

export const list = {
  name: "list",
  summary: "List the complete backups, newest first",
  options: { storage, ...output },
  json: {
    schema: "plinth.backup.list/1",
    members: { backups: "the manifests, newest first", unreadable: "directories that are none: label, problem" }
  }
} as const satisfies CommandSpec

export const show = {
  name: "show",
  summary: "Show a backup's manifest, and how to restore it without Plinth",
  options: { storage, ...output },
  arguments: [label],
  json: { schema: "plinth.backup.show/1", members: manifest }
} as const satisfies CommandSpec

export const verify = {
  name: "verify",
  summary: "Read every byte of a backup again and compare it with its SHA-256",
  options: { storage, ...output },
  arguments: [label],
  json: {
    schema: "plinth.backup.verify/1",
    members: {
      label: "the backup",
      ok: "whether every byte is what was written",
      findings: "what is wrong: file, problem",
      files: "how many were read",
      bytes: "how much was read"
    }
  },
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
  json: {
    schema: "plinth.backup.restore/1",
    members: {
      label: "the backup",
      directory: "the new data directory",
      files: "how many were written",
      bytes: "how much was written",
      tablespaces: "where each of them is now: oid, from, to",
      warnings: "what to look at before starting it"
    }
  },
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
