/**
 * `plinth`: the tree of all commands.
 */
import type { CommandSpec } from "../Spec.ts"
import { backup } from "./backup.ts"
import { config } from "./config.ts"
import { dev } from "./dev.ts"
import { healthCheck } from "./healthCheck.ts"
import { migrate } from "./migrate.ts"
import { pool } from "./pool.ts"
import { reset } from "./reset.ts"
import { route } from "./route.ts"
import { setup } from "./setup.ts"

export const root = {
  name: "plinth",
  summary: "The operational half of a PostgreSQL database",
  options: {},
  commands: [setup, migrate, reset, healthCheck, backup, dev, config, route, pool],
  examples: [
    { command: "plinth setup --seed", does: "an embedded PostgreSQL with schema and data, from nothing" },
    { command: "plinth migrate up --url postgres://localhost/shop", does: "bring a database up to date" }
  ]
} as const satisfies CommandSpec
