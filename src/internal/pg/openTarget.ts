/**
 * From the description of a server to an open connection.
 */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type * as Pg from "pg"
import { nodeName } from "../../DatabaseConfig.ts"
import type { ConnectionTarget } from "../../DatabaseConfig.ts"
import { DatabaseError, fromUnknown } from "../../DatabaseError.ts"
import { monotonicMillis } from "../monotonicMillis.ts"
import { serverName } from "./cancelRequest.ts"
import { open } from "./WireConnection.ts"
import type { WireConnection } from "./WireConnection.ts"

export interface OpenOptions {
  /** Prepared statements to keep per connection; 0 sends every statement unnamed. */
  readonly statementLimit: number
  readonly types?: Pg.CustomTypesConfig | undefined
  /** `statement_timeout` of the session, sent with its startup. @default the server's */
  readonly statementTimeout?: Duration.Duration | undefined
  /** Overrides the target's. */
  readonly applicationName?: string | undefined
}

/** The options of node-postgres for one host of a target; the password is asked for here, once per connection. */
export const clientConfig = (
  target: ConnectionTarget,
  options: OpenOptions
): Effect.Effect<Pg.ClientConfig, DatabaseError> =>
  Effect.map(password(target), (secret): Pg.ClientConfig => ({
    host: target.host,
    port: target.port,
    database: target.database,
    user: target.username,
    ssl: tls(target),
    enableChannelBinding: target.ssl !== false && target.channelBinding !== "disable",
    keepAlive: true,
    application_name: options.applicationName ?? target.applicationName,
    password: secret,
    options: target.options,
    types: options.types,
    ...(options.statementTimeout === undefined
      ? {}
      : { statement_timeout: Math.ceil(Duration.toMillis(options.statementTimeout)) })
  }))

/** Open a connection to the first host of the target that accepts it and is what the target asks for. */
export const openTarget = (
  target: ConnectionTarget,
  options: OpenOptions
): Effect.Effect<WireConnection, DatabaseError> => {
  const hosts: Arr.NonEmptyReadonlyArray<ConnectionTarget> = [
    target,
    ...(target.alternatives ?? []).map((host) => ({ ...target, ...host }))
  ]
  const ordered =
    target.loadBalanceHosts === "random" && hosts.length > 1
      ? Effect.map(Random.shuffle(hosts), (shuffled) => Arr.fromIterable(shuffled))
      : Effect.succeed(Arr.fromIterable(hosts))
  const attributes = target.targetSessionAttrs ?? "any"
  return Effect.flatMap(ordered, (candidates) =>
    Effect.firstSuccessOf(
      attributes === "prefer-standby"
        ? // Two rounds: a standby if there is one, else whatever answers.
          [
            ...candidates.map((host) => openHost(host, "standby", options)),
            ...candidates.map((host) => openHost(host, "any", options))
          ]
        : candidates.map((host) => openHost(host, attributes, options))
    )
  )
}

const openHost = (
  target: ConnectionTarget,
  attributes: Exclude<NonNullable<ConnectionTarget["targetSessionAttrs"]>, "prefer-standby">,
  options: OpenOptions
): Effect.Effect<WireConnection, DatabaseError> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const config = yield* clientConfig(target, options)
    const connection = yield* open({
      config,
      node: nodeName(target),
      statementLimit: options.statementLimit,
      statementTimeout: options.statementTimeout && Duration.toMillis(options.statementTimeout),
      now: () => monotonicMillis(clock)
    })
    if (attributes !== "any") {
      yield* Effect.onError(expectSession(connection, attributes), () => connection.end)
    }
    return connection
  }).pipe((opening) => withinConnectTimeout(target, opening))

/** Fails what did not connect in the time that the target allows. */
export const withinConnectTimeout = <A>(
  target: ConnectionTarget,
  opening: Effect.Effect<A, DatabaseError>
): Effect.Effect<A, DatabaseError> =>
  // Also inside an acquisition, which nothing interrupts.
  Effect.timeoutFail(Effect.interruptible(opening), {
    duration: target.connectTimeout,
    onTimeout: () =>
      new DatabaseError({
        reason: "ConnectionRefused",
        operation: "connect",
        description: `no answer within ${Duration.format(target.connectTimeout)}`,
        node: nodeName(target)
      })
  })

const expectSession = (
  connection: WireConnection,
  wanted: "read-write" | "read-only" | "primary" | "standby"
): Effect.Effect<void, DatabaseError> => {
  const text =
    "SELECT pg_catalog.pg_is_in_recovery() AS standby, " +
    "pg_catalog.current_setting('default_transaction_read_only')::bool AS readonly"
  return Effect.flatMap(
    connection.run([{ text, params: [], prepare: false, types: "stock" }], { operation: "connect" }),
    ([result]) => {
      const standby = result?.rows[0]?.standby === true
      const readOnly = standby || result?.rows[0]?.readonly === true
      const found = { "read-write": !readOnly, "read-only": readOnly, primary: !standby, standby }
      return found[wanted]
        ? Effect.void
        : Effect.fail(
            new DatabaseError({
              reason: "ConnectionRefused",
              operation: "connect",
              description: `the server is not what target_session_attrs asks for (${wanted})`,
              node: connection.node
            })
          )
    }
  )
}

const tls = ({ host, ssl }: ConnectionTarget): NonNullable<Pg.ClientConfig["ssl"]> =>
  ssl === false
    ? false
    : {
        rejectUnauthorized: ssl.rejectUnauthorized,
        ...serverName(ssl.servername ?? host),
        ...(ssl.verifyHost === false ? { checkServerIdentity: () => undefined } : {}),
        ...(ssl.ca === undefined ? {} : { ca: ssl.ca }),
        ...(ssl.cert === undefined ? {} : { cert: ssl.cert }),
        ...(ssl.key === undefined ? {} : { key: Redacted.value(ssl.key) })
      }

const password = (target: ConnectionTarget): Effect.Effect<string | undefined, DatabaseError> => {
  if (target.password === undefined) return Effect.succeed(undefined)
  if (!Effect.isEffect(target.password)) return Effect.succeed(Redacted.value(target.password))
  return Effect.mapBoth(target.password, {
    onSuccess: Redacted.value,
    onFailure: (cause) => fromUnknown(cause, { operation: "connect", node: nodeName(target) })
  })
}
