/**
 * An application's own `plinth`, run as a process by a test.
 */
import { NodeRuntime } from "@effect/platform-node"
import { HealthCheck, Migrator } from "effect-plinth"
import { mainOptions, run } from "effect-plinth/cli"
import * as Schema from "effect/Schema"

const shopOpen = HealthCheck.perNode({
  id: "shop-open",
  title: "The shop is open",
  category: "availability",
  tier: "fast",
  doc: "Customers cannot order while the shop is closed.",
  on: "primary",
  row: Schema.Struct({ open: Schema.Boolean }),
  thresholds: {},
  sql: () => "SELECT open FROM public.shop",
  evaluate: (rows) =>
    rows.flatMap(({ open }) =>
      open
        ? []
        : [
            HealthCheck.finding({
              severity: "warning",
              subject: "shop",
              evidence: "the shop is closed",
              remediation: "UPDATE shop SET open = true"
            })
          ]
    )
})

NodeRuntime.runMain(
  run(process.argv.slice(2), {
    migrations: Migrator.fromRecord({
      "0001_shop.sql": "CREATE TABLE shop (open boolean NOT NULL); INSERT INTO shop VALUES (false);"
    }),
    checks: [shopOpen]
  }),
  mainOptions()
)
