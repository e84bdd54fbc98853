import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { HealthCheck, HealthMonitor } from "effect-plinth"
import { connections } from "../src/HealthMonitor/checks/connections.ts"

const outcome = (fields: Partial<HealthMonitor.Outcome>): HealthMonitor.Outcome => ({
  check: "connections",
  title: "Connections left",
  category: "sessions",
  tier: "fast",
  node: "db:5432/app",
  atMillis: 0,
  millis: 3,
  findings: [],
  unknowns: [],
  measurements: [],
  ...fields
})

const finding = (
  severity: HealthCheck.Severity,
  subject: string,
  fields: Partial<HealthMonitor.ReportedFinding> = {}
): HealthMonitor.ReportedFinding => ({
  ...HealthCheck.finding({ severity, subject, evidence: `${subject} is bad`, remediation: `mend ${subject};` }),
  key: `check: ${subject}`,
  ...fields
})

const report = (...outcomes: ReadonlyArray<HealthMonitor.Outcome>): HealthMonitor.Report =>
  HealthMonitor.reportOf({ atMillis: 0, nodes: ["db:5432/app"], outcomes })

const blind = HealthCheck.unknown(
  HealthCheck.UnknownReason.Privilege({ lacking: "pg_read_all_stats", grant: "GRANT pg_monitor TO app;" })
)

const used = {
  name: "used",
  unit: "percent",
  value: 96.04999,
  threshold: connections.thresholds.used,
  minimum: 0,
  maximum: 100
} as const

const mixed = report(
  outcome({ check: "quiet", title: "All quiet" }),
  outcome({ check: "blocking", findings: [finding("warning", "web", { detail: ["  pid 2 waits"] })] }),
  outcome({ check: "idle-in-transaction", unknowns: [blind] }),
  outcome({ findings: [finding("critical", "db")], measurements: [used] }),
  outcome({
    check: "unused-index",
    node: undefined,
    findings: [
      finding("warning", "public.i", { suppressed: { key: "k", until: new Date("2030-01-02"), note: "month's end" } })
    ]
  })
)

describe("renderText", () => {
  it("shows the worst first, with what mends it, then what is ignored and unknown, then a summary", () =>
    assert.strictEqual(
      HealthMonitor.renderText(mixed),
      [
        "critical  connections: db is bad",
        "          -> mend db;",
        "warning   blocking: web is bad",
        "            pid 2 waits",
        "          -> mend web;",
        "ignored   check: public.i until 2030-01-02: month's end",
        "unknown   idle-in-transaction: the user may not see it (no pg_read_all_stats): GRANT pg_monitor TO app;",
        "",
        "critical: 1 critical, 1 warning, 1 unknown, 2 ok, 1 ignored on 1 node"
      ].join("\n")
    ))

  it("uses colour only when asked to", () => {
    assert.notInclude(HealthMonitor.renderText(mixed), "\u001b")
    assert.include(HealthMonitor.renderText(mixed, { colour: true }), "\u001b[31mcritical\u001b[0m")
  })

  it("lists what is fine only when asked to", () => {
    assert.notInclude(HealthMonitor.renderText(mixed), "All quiet")
    assert.include(HealthMonitor.renderText(mixed, { verbose: true }), "ok        quiet: All quiet (db:5432/app)")
  })

  it("says one reason once, however many checks it blinds", () => {
    const away = HealthCheck.unknown(HealthCheck.UnknownReason.Unreachable({ node: "r", description: "refused" }))
    const text = HealthMonitor.renderText(
      report(outcome({ check: "a", unknowns: [away] }), outcome({ check: "b", unknowns: [away] }))
    )
    assert.match(text, /^unknown {3}a, b: r is unreachable: refused$/m)
  })
})

describe("exitCode", () => {
  const unknown = outcome({ check: "x", unknowns: [blind] })
  const warning = outcome({ findings: [finding("warning", "w")] })
  const critical = outcome({ findings: [finding("critical", "c")] })

  it("is 0 ok, 1 warning, 2 critical, 3 unknown, and the worst of these in the order of Nagios", () => {
    const codes = [[], [warning], [critical], [unknown], [unknown, warning], [unknown, critical]].map((outcomes) =>
      HealthMonitor.exitCode(report(outcome({}), ...outcomes))
    )
    assert.deepStrictEqual(codes, [0, 1, 2, 3, 1, 2])
  })

  it("lets warnings pass when only critical counts, and never what was not seen", () => {
    const codes = [[warning], [critical], [unknown], [unknown, warning]].map((outcomes) =>
      HealthMonitor.exitCode(report(...outcomes), { failOn: "critical" })
    )
    assert.deepStrictEqual(codes, [0, 2, 3, 3])
  })
})

describe("a report", () => {
  it("says its status, which the exit code takes as well as the report", () => {
    assert.strictEqual(mixed.status, "critical")
    const codes = (["ok", "warning", "critical", "unknown"] as const).map((status) => HealthMonitor.exitCode(status))
    assert.deepStrictEqual(codes, [0, 1, 2, 3])
    assert.strictEqual(HealthMonitor.exitCode("warning", { failOn: "critical" }), 0)
  })
})

describe("renderJson", () => {
  it("is what its schema says", () => {
    const decoded = Schema.decodeUnknownSync(Schema.parseJson(HealthMonitor.JsonReport), { onExcessProperty: "error" })(
      HealthMonitor.renderJson(mixed)
    )
    assert.strictEqual(decoded.schemaVersion, 1)
    assert.strictEqual(decoded.status, "critical")
    assert.strictEqual(decoded.checks[2]?.unknowns[0]?.grant, "GRANT pg_monitor TO app;")
    assert.strictEqual(decoded.checks[4]?.findings[0]?.suppressed?.note, "month's end")
    assert.deepInclude(decoded.checks[3]?.measurements[0], { name: "used", warning: 80, critical: 95 })
  })
})

describe("renderNagios", () => {
  it("is one line with perfdata", () =>
    assert.strictEqual(
      HealthMonitor.renderNagios(
        report(outcome({ findings: [finding("critical", "a | b\nc")], measurements: [used] }))
      ),
      "PLINTH CRITICAL - connections: a / b c is bad | 'connections.used@db:5432/app'=96.05%;80;95;0;100"
    ))

  it("says once that a node is away, whichever checks that blinds", () => {
    const away = [
      HealthCheck.unknown(HealthCheck.UnknownReason.Unreachable({ node: "db:5432/app", description: "refused" }))
    ]
    const blinded = [outcome({ unknowns: away }), outcome({ check: "blocking", unknowns: away })]
    const found = outcome({ check: "reachable", findings: [finding("critical", "db:5432/app")] })
    assert.strictEqual(
      HealthMonitor.renderNagios(report(found, ...blinded)),
      "PLINTH CRITICAL - reachable: db:5432/app is bad"
    )
    assert.strictEqual(
      HealthMonitor.renderNagios(report(...blinded)),
      "PLINTH UNKNOWN - connections, blocking: db:5432/app is unreachable: refused"
    )
  })

  it("writes a limit that is reached from above as a range", () => {
    const ratio = {
      ...used,
      name: "ratio",
      value: 99,
      threshold: { ...used.threshold, warning: 90, critical: 80, bad: "below" }
    } as const
    assert.match(
      HealthMonitor.renderNagios(report(outcome({ check: "cache-hit", measurements: [ratio] }))),
      /^PLINTH OK - nothing found \| 'cache-hit\.ratio@db:5432\/app'=99%;90:;80:;0;100$/
    )
  })
})

describe("renderPrometheus", () => {
  const text = HealthMonitor.renderPrometheus(mixed)

  it("has a status of each check, and numbers in base units", () => {
    assert.include(text, `plinth_health_check_status{check="connections",node="db:5432/app"} 2`)
    assert.include(text, `plinth_health_check_status{check="unused-index"} 0`)
    assert.include(text, `plinth_health_suppressed_findings{check="unused-index"} 1`)
    assert.match(text, /^plinth_health_connections_used_ratio\{node="db:5432\/app"\} 0\.96\d*$/m)
  })

  it("keeps the samples of a family together under one type", () => {
    const names = text.split("\n").flatMap((line) => /^# TYPE (\S+)/.exec(line)?.[1] ?? [])
    assert.strictEqual(new Set(names).size, names.length)
    const families = text.split("# HELP ").slice(1)
    for (const family of families) {
      const [name = "", , ...samples] = family
        .trim()
        .split("\n")
        .map((line) => line.split(/[ {]/)[0] ?? "")
      assert.isTrue(
        samples.every((sample) => sample === name),
        name
      )
    }
  })

  it("escapes label values", () =>
    assert.include(HealthMonitor.renderPrometheus(report(outcome({ node: `a"b\\c` }))), `node="a\\"b\\\\c"`))
})

describe("explain and renderDocs", () => {
  it("come from the definition, with the source of each number", () => {
    for (const check of HealthMonitor.builtIn) {
      const docs = HealthMonitor.renderDocs(check)
      assert.include(docs, `### ${check.id}`)
      assert.include(docs, check.doc)
      for (const { source } of Object.values(check.thresholds)) {
        assert.include(docs, source)
        assert.include(HealthMonitor.explain(check), source)
      }
    }
    assert.include(HealthMonitor.explain(connections), "max_connections")
  })
})

describe("describeUnknown", () => {
  it("says what would let the check see", () => {
    const { Deadline, ServerVersion, StatisticsWindow } = HealthCheck.UnknownReason
    assert.strictEqual(
      HealthCheck.describeUnknown(ServerVersion({ needed: 160_000, actual: 150_018 })),
      "it needs PostgreSQL 16, the server is 15"
    )
    assert.strictEqual(
      HealthCheck.describeUnknown(StatisticsWindow({ sinceMillis: 0, needed: Duration.days(7) })),
      "the statistics reach back to 1970-01-01T00:00:00.000Z, and 7d are needed"
    )
    assert.strictEqual(
      HealthCheck.describeUnknown(Deadline({ after: Duration.seconds(2), of: "check" })),
      "the check took longer than 2s"
    )
  })
})
