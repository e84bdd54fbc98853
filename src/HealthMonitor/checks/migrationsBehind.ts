/**
 * Is the schema the one that this program was written for.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { finding, overCluster, unknown, UnknownReason } from "../../HealthCheck.ts"
import type { ClusterCheck, MigrationFacts, Node, Result, Source } from "../../HealthCheck.ts"

const Facts = Schema.Struct({
  pending: Schema.Array(Schema.String),
  failed: Schema.Array(Schema.String),
  drifted: Schema.Array(Schema.String),
  running: Schema.optional(Schema.String)
})

/** The user may not read Plinth's own tables. */
const Denied = Schema.TaggedStruct("Denied", { user: Schema.String })

const Row = Schema.Union(Facts, Denied)

const grantsTo = (user: string): string =>
  `GRANT USAGE ON SCHEMA plinth TO ${user}; GRANT SELECT ON ALL TABLES IN SCHEMA plinth TO ${user};`

/** The source asks the primary, over the same user as the node. */
const userOf = (nodes: ReadonlyArray<Node>): string | undefined =>
  nodes.flatMap(({ facts }) => (Either.isRight(facts) ? [facts.right.user] : []))[0]

const listed = (names: ReadonlyArray<string>): string =>
  names.length <= 3 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`

/**
 * The check over whoever knows the migrations; capabilities do not import one another.
 */
export const migrationsBehind = (source: Source<MigrationFacts>): ClusterCheck =>
  overCluster({
    id: "migrations-behind",
    title: "All migrations are applied",
    category: "plinth",
    tier: "fast",
    doc: "Migrations that this program knows and the database has not seen, that stopped half-way, or whose text has changed since they were applied. What a live run is in the middle of is a warning that names the run.",
    row: Row,
    thresholds: {},
    read: (nodes) =>
      source.read.pipe(
        Effect.map((facts): ReadonlyArray<typeof Row.Type> => [facts]),
        Effect.catchTag("DatabaseError", (error) => {
          const user = userOf(nodes)
          return error.reason === "InsufficientPrivilege" && user !== undefined
            ? Effect.succeed<ReadonlyArray<typeof Row.Type>>([{ _tag: "Denied", user }])
            : Effect.fail(error)
        })
      ),
    evaluate: (rows) => rows.flatMap((row) => ("_tag" in row ? [denied(row.user)] : judge(row))),
    measure: (rows) =>
      rows.flatMap((row) =>
        "_tag" in row ? [] : [{ name: "pending", unit: "count", value: row.pending.length, minimum: 0 }]
      )
  })

const denied = (user: string): Result =>
  unknown(UnknownReason.Privilege({ lacking: "SELECT in the schema plinth", grant: grantsTo(user) }))

const judge = ({ drifted, failed, pending, running }: typeof Facts.Type): ReadonlyArray<Result> => [
  ...(failed.length === 0
    ? []
    : [
        running === undefined
          ? finding({
              severity: "critical",
              subject: "failed",
              evidence: `${failed.length} begun and not finished: ${listed(failed)}`,
              remediation: "plinth migrate status, then plinth migrate up, which goes on where the last run stopped"
            })
          : finding({
              severity: "warning",
              subject: "running",
              evidence: `${listed(failed)} under way: ${running} is migrating`,
              remediation: "wait for the run to end; plinth migrate status says how far it is"
            })
      ]),
  ...(pending.length === 0
    ? []
    : [
        finding({
          severity: "warning",
          subject: "pending",
          evidence: `${pending.length} not applied: ${listed(pending)}`,
          remediation: "plinth migrate up"
        })
      ]),
  ...(drifted.length === 0
    ? []
    : [
        finding({
          severity: "warning",
          subject: "drifted",
          evidence: `${drifted.length} changed after they were applied: ${listed(drifted)}`,
          remediation: "plinth migrate verify; put the old text back and write a new migration"
        })
      ])
]
