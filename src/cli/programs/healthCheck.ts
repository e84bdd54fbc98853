/**
 * `plinth health-check`: runs the checks once and prints what they found.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as DatabaseConfig from "../../DatabaseConfig.ts"
import { suggest } from "../../DatabaseConfig/suggest.ts"
import type { ConnectionTarget, Settings } from "../../DatabaseConfig.ts"
import type { Target } from "../../HealthCheck.ts"
import * as HealthMonitor from "../../HealthMonitor.ts"
import * as Migrator from "../../Migrator.ts"
import { connect } from "../Clients.ts"
import * as Exit from "../Exit.ts"
import { Extended } from "../Extensions.ts"
import * as Migrations from "../Migrations.ts"
import type { DatabaseOptions } from "../Options.ts"
import { Output } from "../Output.ts"
import * as Session from "../Session.ts"
import { table } from "../Table.ts"

/** What the command line says. */
export interface Input {
  readonly database: DatabaseOptions
  readonly check: ReadonlyArray<string>
  readonly tier: "probe" | "fast" | "all"
  readonly format: "text" | "json" | "nagios" | "prometheus"
  readonly failOn: "warning" | "critical"
  readonly explain: Option.Option<string>
  readonly list: boolean
  readonly dir: Option.Option<string>
}

/** Runs the checks, or tells about them. */
export const healthCheck = (input: Input) =>
  input.list
    ? list
    : Option.match(input.explain, {
        onSome: explain,
        onNone: () => Effect.scoped(run(input))
      })

const run = (input: Input) =>
  Effect.gen(function* () {
    const output = yield* Output
    const folder = yield* input.check.includes(migrationsBehind.id)
      ? Effect.asSome(Migrations.require(input.dir))
      : Migrations.find(input.dir)
    const { settings } = yield* Session.open(input.database, "none")
    const nodes = yield* targets(settings)
    const migrations = yield* migrationFacts(folder, nodes[0].run)
    const monitor = yield* HealthMonitor.make({
      nodes,
      migrations,
      checks: (yield* Extended).checks,
      background: false
    })
    const report = yield* monitor.check({ ids: input.check.length === 0 ? undefined : input.check, tier: input.tier })
    const format = output.options.json ? "json" : input.format
    yield* output.print(`${render(report, format, output)}\n`)
    yield* Exit.finish(HealthMonitor.exitCode(report, { failOn: input.failOn }))
  })

const render = (report: HealthMonitor.Report, format: Input["format"], output: Output["Type"]): string => {
  switch (format) {
    case "json":
      return JSON.stringify({ schema: "plinth.health/1", ...HealthMonitor.toJson(report) })
    case "nagios":
      return HealthMonitor.renderNagios(report)
    case "prometheus":
      return HealthMonitor.renderPrometheus(report).trimEnd()
    case "text":
      return HealthMonitor.renderText(report, { colour: output.isColoured, verbose: output.options.verbose })
  }
}

/** Every node with a small client of its own, connected when a check first asks: a node that is away is a finding. */
const targets = (settings: Settings) => {
  const target = (role: Target["role"]) => (to: ConnectionTarget) =>
    Effect.map(connect(to, settings), (clients): Target => ({
      name: DatabaseConfig.nodeName(to),
      role,
      run: Context.get(clients, SqlClient.SqlClient)
    }))
  return Effect.zipWith(
    target("primary")(settings.primary),
    Effect.forEach(settings.replicas, target("replica"), { concurrency: 4 }),
    (primary, replicas): readonly [Target, ...ReadonlyArray<Target>] => [primary, ...replicas]
  )
}

/** What the folder's migrations are for the check that is behind them; nothing where nobody has migrations. */
const migrationFacts = (folder: Option.Option<string>, sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    if (Option.isNone(folder)) return undefined
    const migrator = yield* Effect.provideService(
      Migrator.make({ source: Migrations.source(folder.value) }),
      SqlClient.SqlClient,
      sql
    )
    return Migrator.facts(folder.value, migrator)
  })

/** What the check of migrations is called. */
const migrationsBehind = HealthMonitor.migrationsBehind({ name: "", read: Effect.never })

/** The checks that need no database to tell of. */
const known = Effect.map(Extended, ({ checks = [] }) => [...HealthMonitor.builtIn, migrationsBehind, ...checks])

const explain = (id: string) =>
  Effect.gen(function* () {
    const output = yield* Output
    const checks = yield* known
    const check = checks.find((candidate) => candidate.id === id)
    if (check === undefined) {
      const near = suggest(
        id,
        checks.map((candidate) => candidate.id)
      )
      return yield* Exit.misused(
        `There is no health check ${id}`,
        near === undefined ? "`plinth health-check --list` shows what there is" : `Did you mean ${near}?`
      )
    }
    yield* output.result({
      json: () => ({ schema: "plinth.health.checks/1", checks: [described(check)] }),
      text: () => HealthMonitor.explain(check).trimEnd()
    })
  })

const list = Effect.gen(function* () {
  const output = yield* Output
  const width = yield* output.width
  const checks = yield* known
  yield* output.result({
    json: () => ({ schema: "plinth.health.checks/1", checks: checks.map(described) }),
    text: () =>
      table(
        [{ title: "check" }, { title: "tier" }, { title: "looks at" }],
        checks.map((check) => [check.id, check.tier, check.title]),
        { width, heading: output.style.bold }
      )
  })
})

const described = (check: (typeof HealthMonitor.builtIn)[number]) => ({
  id: check.id,
  title: check.title,
  category: check.category,
  tier: check.tier,
  doc: check.doc
})
