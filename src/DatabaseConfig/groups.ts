/**
 * Reads the options in the groups that the settings have.
 */
import * as Effect from "effect/Effect"
import { DatabaseConfigError } from "./DatabaseConfigError.ts"
import type { Definition } from "./definition.ts"
import type { PoolSettings, RouterSettings } from "./model.ts"
import type { Profile } from "./profile.ts"
import type { Resolved, Source } from "./sources.ts"
import * as sources from "./sources.ts"
import type { TableOptions } from "./table.ts"
import { table } from "./table.ts"
import type { Parts } from "./target.ts"

/** Reads one option from a fixed list of sources. */
export type Reader = <A, I>(
  option: string,
  definition: Definition<A, I>,
  explicit: I | undefined
) => Effect.Effect<Resolved<A>, DatabaseConfigError>

/** A reader of these sources. */
export const readerOf =
  (list: ReadonlyArray<Source>, profile: Profile): Reader =>
  (option, definition, explicit) =>
    sources.read(option, definition, explicit, list, profile)

/** What a connection target is made of. */
export const readParts = (read: Reader, options: TableOptions): Effect.Effect<Parts, DatabaseConfigError> =>
  Effect.all({
    host: read("host", table.host, options.host),
    port: read("port", table.port, options.port),
    database: read("database", table.database, options.database),
    username: read("username", table.username, options.username),
    password: read("password", table.password, options.password),
    passfile: read("passfile", table.passfile, options.passfile),
    ssl: read("ssl", table.ssl, options.ssl),
    sslLibpq: read("sslLibpq", table.sslLibpq, options.sslLibpq),
    sslRootCert: read("sslRootCert", table.sslRootCert, options.sslRootCert),
    sslCert: read("sslCert", table.sslCert, options.sslCert),
    sslKey: read("sslKey", table.sslKey, options.sslKey),
    channelBinding: read("channelBinding", table.channelBinding, options.channelBinding),
    targetSessionAttrs: read("targetSessionAttrs", table.targetSessionAttrs, options.targetSessionAttrs),
    loadBalanceHosts: read("loadBalanceHosts", table.loadBalanceHosts, options.loadBalanceHosts),
    applicationName: read("applicationName", table.applicationName, options.applicationName),
    options: read("options", table.options, options.options),
    connectTimeout: read("connectTimeout", table.connectTimeout, options.connectTimeout)
  })

/** The pool's options. */
export const readPool = (read: Reader, options: TableOptions) =>
  Effect.all({
    minConnections: read("minConnections", table.minConnections, options.minConnections),
    maxConnections: read("maxConnections", table.maxConnections, options.maxConnections),
    acquireTimeout: read("acquireTimeout", table.acquireTimeout, options.acquireTimeout),
    idleTimeout: read("idleTimeout", table.idleTimeout, options.idleTimeout),
    maxLifetime: read("maxLifetime", table.maxLifetime, options.maxLifetime),
    maxWaiting: read("maxWaiting", table.maxWaiting, options.maxWaiting),
    validateAfter: read("validateAfter", table.validateAfter, options.validateAfter),
    validateTimeout: read("validateTimeout", table.validateTimeout, options.validateTimeout),
    leakAfter: read("leakAfter", table.leakAfter, options.leakAfter),
    connectConcurrency: read("connectConcurrency", table.connectConcurrency, options.connectConcurrency),
    closeTimeout: read("closeTimeout", table.closeTimeout, options.closeTimeout),
    statementTimeout: read("statementTimeout", table.statementTimeout, options.statementTimeout),
    prepare: read("prepare", table.prepare, options.prepare),
    sessionReset: read("sessionReset", table.sessionReset, options.sessionReset),
    pooler: read("pooler", table.pooler, options.pooler)
  }).pipe(
    Effect.filterOrFail(
      ({ maxConnections, minConnections }) => minConnections.value <= maxConnections.value,
      ({ maxConnections, minConnections }) =>
        new DatabaseConfigError({
          reason: "Conflict",
          option: "minConnections",
          source: minConnections.source,
          description:
            `it is ${minConnections.value}, above maxConnections, which is ${maxConnections.value} ` +
            `(from ${maxConnections.source})`
        })
    ),
    Effect.filterOrFail(
      ({ pooler, statementTimeout }) => pooler.value === "none" || statementTimeout.value === undefined,
      ({ statementTimeout }) =>
        new DatabaseConfigError({
          reason: "Conflict",
          option: "statementTimeout",
          source: statementTimeout.source,
          description:
            "pgbouncer keeps no setting of a session; set it for the role: ALTER ROLE .. SET statement_timeout = .."
        })
    )
  )

/** The router's options. */
export const readRouter = (read: Reader, options: TableOptions) =>
  Effect.all({
    level: read("level", table.level, options.level),
    maxStaleness: read("maxStaleness", table.maxStaleness, options.maxStaleness),
    maxLag: read("maxLag", table.maxLag, options.maxLag),
    maxLagBytes: read("maxLagBytes", table.maxLagBytes, options.maxLagBytes)
  })

/** The pool's settings. */
export const poolOf = (
  pool: Effect.Effect.Success<ReturnType<typeof readPool>>,
  connectTimeout: PoolSettings["connectTimeout"]
): PoolSettings => ({
  min: pool.minConnections.value,
  max: pool.maxConnections.value,
  acquireTimeout: pool.acquireTimeout.value,
  connectTimeout,
  idleTimeout: pool.idleTimeout.value,
  maxLifetime: pool.maxLifetime.value,
  maxWaiting: pool.maxWaiting.value,
  validateAfter: pool.validateAfter.value,
  validateTimeout: pool.validateTimeout.value,
  leakAfter: pool.leakAfter.value,
  connectConcurrency: pool.connectConcurrency.value,
  closeTimeout: pool.closeTimeout.value,
  statementTimeout: pool.statementTimeout.value,
  prepare: pool.prepare.value,
  sessionReset: pool.sessionReset.value,
  pooler: pool.pooler.value
})

/** The router's settings. */
export const routerOf = (router: Effect.Effect.Success<ReturnType<typeof readRouter>>): RouterSettings => ({
  level: router.level.value,
  maxStaleness: router.maxStaleness.value,
  maxLag: router.maxLag.value,
  maxLagBytes: router.maxLagBytes.value
})
