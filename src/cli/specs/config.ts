/**
 * `plinth config`: the definition.
 */
import type { CommandSpec } from "../Spec.ts"
import { database, databaseName, output } from "./standardOptions.ts"

export const show = {
  name: "show",
  summary: "Show every setting in force, its variable and where it comes from, without secrets",
  options: { ...database, ...output },
  json: {
    schema: "plinth.config/1",
    members: { profile: "which defaults are in force", settings: "option, variable, value, source" }
  }
} as const satisfies CommandSpec

export const mark = {
  name: "mark",
  summary: "Mark the database, so that destructive commands know what it is",
  description: [
    "The mark is stored in the database together with its identity (system identifier and oid), so that a clone of production is recognised as a clone."
  ],
  options: { ...database, databaseName, ...output },
  arguments: [{ name: "environment", description: "production, or development to take the mark back" }],
  json: {
    schema: "plinth.config.mark/1",
    members: { database: "host:port/database", environment: "what it is marked as" }
  },
  examples: [{ command: "plinth config mark production", does: "`plinth reset` refuses this database from now on" }]
} as const satisfies CommandSpec

export const config = {
  name: "config",
  summary: "Show the settings in force, and mark databases",
  options: {},
  commands: [show, mark],
  defaultCommand: "show"
} as const satisfies CommandSpec
