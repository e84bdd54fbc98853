/**
 * A role that a throw-away server asks for its password, by SCRAM.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { ConnectionPool } from "effect-plinth"
import type { EmbeddedPostgres } from "effect-plinth/embedded"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { query } from "./stage.ts"

/** Makes the role, which may create tables, and gives its URL. */
export const makeScramRole = (
  cluster: EmbeddedPostgres.EmbeddedPostgres["Type"],
  direct: ConnectionPool.ConnectionPool["Type"],
  role: string,
  password: string
) =>
  Effect.gen(function* () {
    yield* direct.run([query(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`)])
    yield* direct.run([query(`GRANT CREATE ON SCHEMA public TO ${role}`)])
    const file = join(cluster.dataDirectory, "pg_hba.conf")
    yield* Effect.sync(() =>
      writeFileSync(file, `host all ${role} 127.0.0.1/32 scram-sha-256\n${readFileSync(file, "utf8")}`)
    )
    yield* direct.run([query("SELECT pg_reload_conf()")])
    const url = new URL(Redacted.value(cluster.url))
    url.username = role
    url.password = password
    return Redacted.make(url.href)
  })
