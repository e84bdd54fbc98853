/**
 * Puts one connection target together from what the sources say about it.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { DatabaseConfigError } from "./DatabaseConfigError.ts"
import * as files from "./files.ts"
import type { ConnectionTarget, TargetSessionAttrs } from "./model.ts"
import type { Resolved } from "./sources.ts"
import type { Password } from "./table.ts"
import type { SslMode, TlsMode, TlsOptions } from "./tls.ts"
import { verificationOf } from "./tls.ts"

/** The options of a target, each with its source. */
export interface Parts {
  readonly host: Resolved<ReadonlyArray<string>>
  readonly port: Resolved<ReadonlyArray<number>>
  readonly database: Resolved<string | undefined>
  readonly username: Resolved<string | undefined>
  readonly password: Resolved<Password | undefined>
  readonly passfile: Resolved<string | undefined>
  readonly ssl: Resolved<SslMode | TlsOptions>
  readonly sslLibpq: Resolved<boolean>
  readonly sslRootCert: Resolved<string | undefined>
  readonly sslCert: Resolved<string | undefined>
  readonly sslKey: Resolved<string | undefined>
  readonly channelBinding: Resolved<"disable" | "prefer" | "require">
  readonly targetSessionAttrs: Resolved<TargetSessionAttrs>
  readonly loadBalanceHosts: Resolved<"disable" | "random">
  readonly applicationName: Resolved<string | undefined>
  readonly options: Resolved<string | undefined>
  readonly connectTimeout: Resolved<ConnectionTarget["connectTimeout"]>
}

/** What the operating system knows, where variables are read. */
export interface Surroundings {
  readonly user?: string | undefined
  readonly passfile?: string | undefined
}

const invalid = (option: string, source: string, description: string) =>
  new DatabaseConfigError({ reason: "InvalidValue", option, source, description })

/** One port for all hosts, or one for each. */
const addressesOf = ({ host, port }: Parts) => {
  const [first] = port.value
  if (port.value.length !== 1 && port.value.length !== host.value.length) {
    return Effect.fail(
      new DatabaseConfigError({
        reason: "Conflict",
        option: "port",
        source: port.source,
        description: `there are ${port.value.length} ports for ${host.value.length} hosts; give one, or one for each`
      })
    )
  }
  return Effect.succeed(
    host.value.map((name, index) => ({
      host: name,
      port: (port.value.length === 1 ? first : port.value[index]) ?? 5432
    }))
  )
}

const fileOf = Effect.fnUntraced(function* (option: string, part: Resolved<string | undefined>) {
  return part.value === undefined ? undefined : yield* files.readFile(option, part.source, part.value)
})

const tlsOf = Effect.fnUntraced(function* (parts: Parts, isSocket: boolean) {
  const { ssl } = parts
  // PostgreSQL speaks no TLS on Unix sockets, and libpq ignores sslmode there.
  if (isSocket) return false
  if (typeof ssl.value !== "string") {
    const { ca, cert, key, rejectUnauthorized = true, servername } = ssl.value
    return {
      rejectUnauthorized,
      verifyHost: rejectUnauthorized,
      ca,
      cert,
      key: typeof key === "string" ? Redacted.make(key) : key,
      servername
    } satisfies TlsMode
  }
  const hasFiles = [parts.sslRootCert, parts.sslCert, parts.sslKey].some((part) => part.value !== undefined)
  // Who names certificates wants TLS: node-postgres turns it on then, and so do we.
  const mode = ssl.isDefault && hasFiles ? "verify-full" : ssl.value
  if (mode === "disable") return false
  const isSystem = parts.sslRootCert.value === "system"
  const verification = yield* verificationOf(mode, {
    libpq: parts.sslLibpq.value,
    hasRootCert: parts.sslRootCert.value !== undefined && !isSystem
  }).pipe(Effect.mapError((description) => invalid("ssl", ssl.source, description)))
  const key = yield* fileOf("sslKey", parts.sslKey)
  return {
    ...verification,
    ca: isSystem ? undefined : yield* fileOf("sslRootCert", parts.sslRootCert),
    cert: yield* fileOf("sslCert", parts.sslCert),
    key: key === undefined ? undefined : Redacted.make(key)
  } satisfies TlsMode
})

/** The target. A password file is looked into only where nothing else gave a password. */
export const resolveTarget = Effect.fnUntraced(function* (parts: Parts, surroundings: Surroundings) {
  const [first = { host: "localhost", port: 5432 }, ...alternatives] = yield* addressesOf(parts)
  const username = parts.username.value ?? surroundings.user ?? "postgres"
  const database = parts.database.value ?? username
  const ssl = yield* tlsOf(parts, first.host.startsWith("/"))
  const passfile = parts.passfile.value ?? surroundings.passfile
  const text =
    parts.password.value === undefined && passfile !== undefined ? yield* files.readPassfile(passfile) : undefined
  const fromFile = text === undefined ? undefined : files.passwordIn(text, { ...first, database, username })
  const target: ConnectionTarget = {
    ...first,
    alternatives,
    targetSessionAttrs: parts.targetSessionAttrs.value,
    loadBalanceHosts: parts.loadBalanceHosts.value,
    database,
    username,
    password: parts.password.value ?? (fromFile === undefined ? undefined : Redacted.make(fromFile)),
    ssl,
    channelBinding: parts.channelBinding.value,
    applicationName: parts.applicationName.value ?? "plinth",
    options: parts.options.value,
    connectTimeout: parts.connectTimeout.value
  }
  return { target, passwordSource: fromFile === undefined ? parts.password.source : passfile }
})
