/**
 * The options that mean the same in every command, each with its variable.
 */
import type { OptionSpec } from "../Spec.ts"

/** What every command has: how it speaks, and where its settings are kept. */
export const output = {
  config: {
    name: "config",
    value: "file",
    variable: "PLINTH_CONFIG",
    default: "plinth.config.json, if there is one",
    description: "A JSON file of settings by variable name; the environment wins over it"
  },
  json: {
    name: "json",
    variable: "PLINTH_JSON",
    description: "Print the result as JSON, and notices as JSON lines on stderr"
  },
  quiet: { name: "quiet", alias: "q", variable: "PLINTH_QUIET", description: "Print the result and errors only" },
  verbose: {
    name: "verbose",
    alias: "v",
    variable: "PLINTH_VERBOSE",
    description: "Say more about what happens, on stderr"
  },
  debug: {
    name: "debug",
    variable: "PLINTH_DEBUG",
    description: "Log everything, and show the cause and the stack of an error"
  }
} as const satisfies Record<string, OptionSpec>

/** Which database a command works on. */
export const database = {
  url: {
    name: "url",
    value: "url",
    variable: "DATABASE_URL",
    description: "The primary: postgres://user:password@host:port/database"
  },
  replicaUrl: {
    name: "replica-url",
    value: "url",
    repeatable: true,
    variable: "DATABASE_REPLICA_URLS",
    description: "A replica; may be given several times (the variable: separated by commas)"
  },
  embedded: {
    name: "embedded",
    variable: "PLINTH_EMBEDDED",
    description: "Use the embedded PostgreSQL in .plinth/, whatever the environment says"
  }
} as const satisfies Record<string, OptionSpec>

/** The migrations folder. */
export const dir = {
  name: "dir",
  value: "directory",
  variable: "PLINTH_DIR",
  default: "migrations",
  description: "The folder of the migrations"
} as const satisfies OptionSpec

/** The seeds folder. */
export const seeds = {
  name: "seeds",
  value: "directory",
  variable: "PLINTH_SEEDS",
  default: "seeds",
  description: "The folder of the seeds"
} as const satisfies OptionSpec

/** The backup folder. */
export const storage = {
  name: "storage",
  value: "directory",
  variable: "PLINTH_BACKUP_DIR",
  default: "backups",
  description: "The folder that holds the backups"
} as const satisfies OptionSpec

/** The answer to every question. */
export const yes = {
  name: "yes",
  alias: "y",
  variable: "PLINTH_YES",
  description: "Answer yes to every question; required where there is no terminal to ask on"
} as const satisfies OptionSpec

/** The answer where a name must be typed. */
export const databaseName = {
  name: "database-name",
  value: "name",
  description: "The name of the database: what would have to be typed, for use without a terminal"
} as const satisfies OptionSpec
