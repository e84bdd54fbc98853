/**
 * Does every node answer, and if not, why not, in words.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { DatabaseError } from "../../DatabaseError.ts"
import { finding, overCluster } from "../../HealthCheck.ts"

const Row = Schema.Struct({
  node: Schema.String,
  role: Schema.Literal("primary", "replica"),
  millis: Schema.Number,
  failure: Schema.optional(Schema.Struct({ why: Schema.String, remediation: Schema.String }))
})

/** Why a node does not answer and where to look; a person reads it at night. */
const explain = (error: DatabaseError): { readonly why: string; readonly remediation: string } => {
  const says = error.description
  if (/ENOTFOUND|EAI_AGAIN|getaddrinfo/.test(says)) {
    return { why: `DNS does not know its host name (${says})`, remediation: "Check the host name: getent hosts <host>" }
  }
  if (/ECONNREFUSED/.test(says)) {
    return {
      why: `nothing listens on its port (${says})`,
      remediation: "Start the server, or check host, port and listen_addresses: pg_isready -h <host> -p <port>"
    }
  }
  if (/ETIMEDOUT|timeout expired|connection timeout/i.test(says)) {
    return {
      why: `the connection attempt timed out (${says})`,
      remediation: "Check firewall and routing: a packet filter drops, a closed port would have refused"
    }
  }
  if (error.sqlState === "3D000") {
    return {
      why: says,
      remediation: "Check the name of the database in the URL, or create it: plinth setup --create-database"
    }
  }
  switch (error.reason) {
    case "TlsFailed":
      return { why: `TLS failed (${says})`, remediation: "Check sslmode, sslrootcert and the certificate's host name" }
    case "AuthenticationFailed":
      return { why: `the login was refused (${says})`, remediation: "Check user, password and pg_hba.conf" }
    case "TooManyConnections":
      return {
        why: `all its connections are taken (${says})`,
        remediation:
          "As superuser: SELECT application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2 ORDER BY 3 DESC;"
      }
    case "CannotConnectNow":
      return { why: `it is starting, stopping or recovering (${says})`, remediation: "Wait, and read the server's log" }
    case "StatementTimeout":
    case "AcquireTimeout":
      return {
        why: `it gave no answer in time (${says})`,
        remediation: "Look at the machine: it is frozen, overloaded, or the network drops packets"
      }
    default:
      return { why: says, remediation: "Read the server's log" }
  }
}

export const reachable = overCluster({
  id: "reachable",
  title: "Every node answers",
  category: "availability",
  tier: "probe",
  doc: "Each node is asked over a connection of its own, never through the application's pool: a busy pool is not a dead database.",
  row: Row,
  thresholds: {},
  read: (nodes) =>
    Effect.succeed(
      nodes.map((node): typeof Row.Type => ({
        node: node.name,
        role: node.role,
        millis: node.millis,
        failure: Either.isLeft(node.facts) ? explain(node.facts.left) : undefined
      }))
    ),
  evaluate: (rows) =>
    rows.flatMap(({ failure, node, role }) =>
      failure === undefined
        ? []
        : [
            finding({
              severity: "critical",
              subject: node,
              evidence: `The ${role} ${node} is unreachable: ${failure.why}`,
              remediation: failure.remediation
            })
          ]
    ),
  // How long it took is a number and no verdict: the first answer includes the connection.
  measure: (rows) =>
    rows.flatMap((row) => [
      {
        name: "up",
        unit: "count",
        value: row.failure === undefined ? 1 : 0,
        subject: row.node,
        minimum: 0,
        maximum: 1
      },
      { name: "answer", unit: "milliseconds", value: row.millis, subject: row.node, minimum: 0 }
    ])
})
