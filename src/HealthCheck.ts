/**
 * What a health check is: one value from which text, JSON, Nagios, Prometheus, exit code and documentation are derived.
 *
 * A check states where it looks (`perNode` or `overCluster`), how it reads (SQL or an effect), the shape of the rows, its
 * thresholds with their sources, and a pure `evaluate`. It returns what is wrong and what it could not see; nothing means ok.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type { ParseError } from "effect/ParseResult"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import type { DatabaseError } from "./DatabaseError.ts"
import type { Result } from "./HealthCheck/Result.ts"
import type { Measurement, Threshold } from "./HealthCheck/Threshold.ts"

export * from "./HealthCheck/Result.ts"
export * from "./HealthCheck/Threshold.ts"

/**
 * How often a check runs: `probe` every few seconds, `fast` every ten, `catalogue` every quarter of an hour.
 *
 * @since 0.1.0
 * @category models
 */
export type Tier = "probe" | "fast" | "catalogue"

/**
 * @since 0.1.0
 * @category models
 */
export type Category = "availability" | "replication" | "sessions" | "performance" | "storage" | "schema" | "plinth"

/**
 * A server to be watched, over a client of its own: never the application's pool, because a busy pool is not a dead
 * database. One connection is enough.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  /** `host:port/database`. */
  readonly name: string
  /** What it is meant to be; what it is, it says itself. */
  readonly role: "primary" | "replica"
  readonly run: SqlClient
}

/**
 * A role whose membership a check needs. `pg_read_all_stats` comes with `pg_monitor`.
 *
 * @since 0.1.0
 * @category models
 */
export type Privilege = "pg_read_all_stats" | "pg_read_all_data"

/**
 * What a node said of itself at the beginning of a pass.
 *
 * @since 0.1.0
 * @category models
 */
export interface Facts {
  /** `server_version_num`, e.g. 150018. */
  readonly serverVersion: number
  readonly inRecovery: boolean
  /** As SQL writes it, quoted where that is needed. */
  readonly user: string
  readonly database: string
  /** The same for all addresses of one running server, and for no two servers. */
  readonly server: string
  readonly privileges: ReadonlyArray<Privilege>
}

/**
 * A node within a pass.
 *
 * @since 0.1.0
 * @category models
 */
export interface Node {
  readonly name: string
  readonly role: Target["role"]
  /** Or why it did not answer. */
  readonly facts: Either.Either<Facts, DatabaseError>
  /** Of the answer, or of the attempt. */
  readonly millis: number
  /** Read only, under `lock_timeout`, `statement_timeout` and `search_path = pg_catalog`. */
  readonly query: (sql: string) => Effect.Effect<ReadonlyArray<unknown>, DatabaseError>
}

/**
 * An earlier reading of the same check at the same place.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot<Row> {
  readonly atMillis: number
  readonly rows: ReadonlyArray<Row>
}

/**
 * What `evaluate` may know beside the rows.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClusterContext<Row> {
  readonly nowMillis: number
  /** Oldest first, at most `remember` of them. */
  readonly earlier: ReadonlyArray<Snapshot<Row>>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface NodeContext<Row> extends ClusterContext<Row> {
  readonly node: string
  readonly facts: Facts
}

/**
 * @since 0.1.0
 * @category models
 */
export type Thresholds<Name extends string = string> = { readonly [K in Name]: Threshold }

/**
 * Changed numbers of one check; unit, direction and source stay.
 *
 * @since 0.1.0
 * @category models
 */
export type ThresholdOverrides = {
  readonly [name: string]: { readonly warning?: number | undefined; readonly critical?: number | undefined }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Assessment {
  readonly results: ReadonlyArray<Result>
  readonly measurements: ReadonlyArray<Measurement>
}

interface Common {
  /** kebab-case; stable for ever. */
  readonly id: string
  readonly title: string
  readonly category: Category
  readonly tier: Tier
  /** One or two sentences: what it means and why one cares. */
  readonly doc: string
  /** @default 140000 */
  readonly minimumVersion?: number | undefined
  /** Roles without which it cannot see; the answer is then unknown and names the GRANT. */
  readonly privileges?: ReadonlyArray<Privilege> | undefined
  /** How many earlier readings `evaluate` gets. @default 0 */
  readonly remember?: number | undefined
  /** The least time between two readings that are compared; a single run reads twice, this far apart. */
  readonly interval?: Duration.DurationInput | undefined
}

/** A reading whose rows nobody has looked at. */
type RawContext<Context extends ClusterContext<unknown>> = Context & {
  readonly overrides?: ThresholdOverrides | undefined
}

/**
 * A check that asks each node, or the primary, by one statement.
 *
 * @since 0.1.0
 * @category models
 */
export interface NodeCheck extends Common {
  readonly _tag: "Node"
  readonly on: "primary" | "each"
  readonly sql: (facts: Facts) => string
  readonly thresholds: Thresholds
  readonly assess: (rows: unknown, context: RawContext<NodeContext<unknown>>) => Effect.Effect<Assessment, ParseError>
}

/**
 * A check over all nodes at once, or over something that is no node.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClusterCheck extends Common {
  readonly _tag: "Cluster"
  readonly read: (nodes: ReadonlyArray<Node>) => Effect.Effect<ReadonlyArray<unknown>, DatabaseError>
  readonly thresholds: Thresholds
  readonly assess: (
    rows: unknown,
    context: RawContext<ClusterContext<unknown>>
  ) => Effect.Effect<Assessment, ParseError>
}

/**
 * @since 0.1.0
 * @category models
 */
export type HealthCheck = NodeCheck | ClusterCheck

interface Judgement<Row, I, Name extends string, Context> extends Common {
  readonly row: Schema.Schema<Row, I>
  readonly thresholds: Thresholds<Name>
  /** Pure: what is wrong and what could not be seen. */
  readonly evaluate: (rows: ReadonlyArray<Row>, thresholds: Thresholds<Name>, context: Context) => ReadonlyArray<Result>
  /** The numbers behind it. */
  readonly measure?:
    | ((rows: ReadonlyArray<Row>, thresholds: Thresholds<Name>, context: Context) => ReadonlyArray<Measurement>)
    | undefined
}

/**
 * @since 0.1.0
 * @category constructors
 */
export interface NodeDefinition<Row, I, Name extends string> extends Judgement<Row, I, Name, NodeContext<Row>> {
  readonly on: NodeCheck["on"]
  readonly sql: NodeCheck["sql"]
}

/**
 * @since 0.1.0
 * @category constructors
 */
export interface ClusterDefinition<Row, I, Name extends string> extends Judgement<Row, I, Name, ClusterContext<Row>> {
  readonly read: (nodes: ReadonlyArray<Node>) => Effect.Effect<ReadonlyArray<unknown>, DatabaseError>
}

/**
 * A check of each node, or of the primary.
 *
 * @since 0.1.0
 * @category constructors
 */
export const perNode = <Row, I, Name extends string>(
  definition: NodeDefinition<Row, I, Name>
): NodeCheck & NodeDefinition<Row, I, Name> => ({
  ...definition,
  _tag: "Node",
  assess: (rows, context) =>
    Effect.map(decodeReadings(definition, rows, context), ({ current, earlier, thresholds }) =>
      judge(definition, current, thresholds, {
        nowMillis: context.nowMillis,
        node: context.node,
        facts: context.facts,
        earlier
      })
    )
})

/**
 * A check over the whole cluster or over a service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const overCluster = <Row, I, Name extends string>(
  definition: ClusterDefinition<Row, I, Name>
): ClusterCheck & ClusterDefinition<Row, I, Name> => ({
  ...definition,
  _tag: "Cluster",
  assess: (rows, context) =>
    Effect.map(decodeReadings(definition, rows, context), ({ current, earlier, thresholds }) =>
      judge(definition, current, thresholds, { nowMillis: context.nowMillis, earlier })
    )
})

/**
 * Facts that a check gets from another part of the program. Capabilities do not import one another: the one that knows
 * exports such a value, and whoever wires both passes it on.
 *
 * @since 0.1.0
 * @category sources
 */
export interface Source<A> {
  readonly name: string
  readonly read: Effect.Effect<A, DatabaseError>
}

/**
 * What the migrations check needs to know.
 *
 * @since 0.1.0
 * @category sources
 */
export interface MigrationFacts {
  /** Names of migrations that are not applied yet. */
  readonly pending: ReadonlyArray<string>
  /** Begun, not finished. */
  readonly failed: ReadonlyArray<string>
  /** Applied with another text than the file has now. */
  readonly drifted: ReadonlyArray<string>
  /** Who is migrating at this moment; then what is begun and not finished is under way and has not failed. */
  readonly running?: string | undefined
}

/**
 * How the `application_name` of the session that holds the migration lock begins. It is idle in transaction while the
 * migrations run on another connection, and that is no fault.
 *
 * @since 0.1.0
 * @category constants
 */
export const migrationLockApplication = "plinth-migrator-lock"

/**
 * The GRANT that gives a privilege to a user.
 *
 * @since 0.1.0
 * @category privileges
 */
export const grantOf = (privilege: Privilege, user: string): string =>
  `GRANT ${privilege === "pg_read_all_stats" ? "pg_monitor" : privilege} TO ${user};`

/**
 * The thresholds of a check with the changed numbers in their places.
 *
 * @since 0.1.0
 * @category thresholds
 */
export const withOverrides = <Name extends string>(
  thresholds: Thresholds<Name>,
  overrides: ThresholdOverrides | undefined
): Thresholds<Name> =>
  overrides === undefined
    ? thresholds
    : Record.map(thresholds, (threshold, name) => ({
        ...threshold,
        warning: overrides[name]?.warning ?? threshold.warning,
        critical: overrides[name]?.critical ?? threshold.critical
      }))

const decodeReadings = <Row, I, Name extends string, Context>(
  definition: Judgement<Row, I, Name, Context>,
  rows: unknown,
  context: RawContext<ClusterContext<unknown>>
) => {
  const decode = Schema.decodeUnknown(Schema.Array(definition.row))
  return Effect.all({
    current: decode(rows),
    earlier: Effect.forEach(context.earlier, (snapshot) =>
      Effect.map(decode(snapshot.rows), (rows): Snapshot<Row> => ({ atMillis: snapshot.atMillis, rows }))
    ),
    thresholds: Effect.succeed(withOverrides(definition.thresholds, context.overrides))
  })
}

const judge = <Row, I, Name extends string, Context>(
  definition: Judgement<Row, I, Name, Context>,
  rows: ReadonlyArray<Row>,
  thresholds: Thresholds<Name>,
  context: Context
): Assessment => ({
  results: definition.evaluate(rows, thresholds, context),
  measurements: definition.measure?.(rows, thresholds, context) ?? []
})
