/**
 * Is the schema the one that this program was written for.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { finding, overCluster } from "../../HealthCheck.ts"
import type { ClusterCheck, MigrationFacts, Source } from "../../HealthCheck.ts"

const Row = Schema.Struct({
  pending: Schema.Array(Schema.String),
  failed: Schema.Array(Schema.String),
  drifted: Schema.Array(Schema.String),
  running: Schema.optional(Schema.String)
})

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
    read: () => Effect.map(source.read, (facts) => [facts]),
    evaluate: (rows) =>
      rows.flatMap(({ drifted, failed, pending, running }) => [
        ...(failed.length === 0
          ? []
          : [
              running === undefined
                ? finding({
                    severity: "critical",
                    subject: "failed",
                    evidence: `${failed.length} begun and not finished: ${listed(failed)}`,
                    remediation:
                      "plinth migrate status, then plinth migrate up, which goes on where the last run stopped"
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
      ]),
    measure: (rows) => [
      { name: "pending", unit: "count", value: rows.reduce((sum, row) => sum + row.pending.length, 0), minimum: 0 }
    ]
  })
