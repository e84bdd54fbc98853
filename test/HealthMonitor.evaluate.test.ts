import { assert, describe, it } from "@effect/vitest"
import type { HealthCheck } from "effect-plinth"
import { blocking, trees } from "../src/HealthMonitor/checks/blocking.ts"
import { cacheHit } from "../src/HealthMonitor/checks/cacheHit.ts"
import { idleInTransaction } from "../src/HealthMonitor/checks/idleInTransaction.ts"
import { role } from "../src/HealthMonitor/checks/role.ts"
import { unusedIndex } from "../src/HealthMonitor/checks/unusedIndex.ts"
import { xidAge } from "../src/HealthMonitor/checks/xidAge.ts"

const context = {
  nowMillis: 1_000_000_000_000,
  node: "db:5432/app",
  facts: {
    serverVersion: 150_000,
    inRecovery: false,
    user: "monitor",
    database: "app",
    privileges: [],
    server: "5432 noon"
  },
  earlier: []
} as const

const severities = (results: ReadonlyArray<HealthCheck.Result>) =>
  results.map((result) => (result._tag === "Finding" ? result.severity : result.reason._tag))

describe("xid-age", () => {
  const row = (fields: Partial<Parameters<typeof xidAge.evaluate>[0][number]>) => [
    {
      database: "app",
      xids: 1,
      multixacts: 1,
      freezeMaxAge: 2e8,
      multixactFreezeMaxAge: 4e8,
      oldestTable: "public.orders",
      ...fields
    }
  ]
  const evaluate = (fields: Parameters<typeof row>[0]) => xidAge.evaluate(row(fields), xidAge.thresholds, context)

  it("warns half-way to wraparound and is critical at three quarters", () => {
    assert.deepStrictEqual(evaluate({ xids: 1_073_741_823 }), [])
    assert.deepStrictEqual(severities(evaluate({ xids: 1_073_741_824 })), ["warning"])
    assert.deepStrictEqual(severities(evaluate({ xids: 1_610_612_736 })), ["critical"])
  })

  it("watches multixact ids, too", () => {
    const [finding] = evaluate({ multixacts: 1_700_000_000 })
    assert.deepInclude(finding, { severity: "critical", subject: "multixact ids of app" })
  })

  it("names the table to be frozen", () => {
    const [finding] = evaluate({ xids: 2e9 })
    assert.match(finding?._tag === "Finding" ? finding.remediation : "", /VACUUM \(FREEZE, VERBOSE\) public\.orders;/)
  })
})

describe("blocking", () => {
  const row = (
    pid: number,
    blockers: ReadonlyArray<number>,
    fields: Partial<Parameters<typeof trees>[0][number]> = {}
  ) => ({
    pid,
    blockers,
    waitSeconds: blockers.length === 0 ? 0 : 100,
    waitsFor: "ShareLock on public.orders",
    application: `app${pid}`,
    user: "app",
    state: "active",
    statement: null,
    ...fields
  })
  const evaluate = (...rows: ReadonlyArray<ReturnType<typeof row>>) =>
    blocking.evaluate(rows, blocking.thresholds, context)

  it("makes one tree of a chain, with the root on top", () => {
    const [tree, ...others] = trees([row(3, [2]), row(2, [1]), row(1, []), row(4, [1])])
    assert.isEmpty(others)
    assert.strictEqual(tree?.root.pid, 1)
    assert.deepStrictEqual(
      tree?.waiting.map((x) => [x.row.pid, x.depth]),
      [
        [2, 1],
        [3, 2],
        [4, 1]
      ]
    )
  })

  it("ends at a circle", () => {
    const [tree] = trees([row(2, [1]), row(1, [2])])
    assert.strictEqual(tree?.root.pid, 1)
    assert.lengthOf(tree?.waiting ?? [], 1)
  })

  it("lists a session that waits for two others once", () =>
    assert.strictEqual(
      trees([row(1, []), row(2, []), row(3, [1, 2])]).reduce((sum, tree) => sum + tree.waiting.length, 0),
      1
    ))

  it("terminates a root that is idle in its transaction and cancels one that works", () => {
    const remediations = [
      evaluate(row(1, [], { state: "idle in transaction" }), row(2, [1])),
      evaluate(row(1, []), row(2, [1]))
    ].map(([finding]) => (finding?._tag === "Finding" ? finding.remediation : undefined))
    assert.deepStrictEqual(remediations, ["SELECT pg_terminate_backend(1);", "SELECT pg_cancel_backend(1);"])
  })

  it("tells of a prepared transaction, which has no session to be ended", () => {
    const [finding] = evaluate(row(0, [], { application: "", state: null }), row(2, [0]))
    assert.deepInclude(finding, { subject: "a prepared transaction" })
    assert.match(finding?._tag === "Finding" ? finding.remediation : "", /ROLLBACK PREPARED/)
  })

  it("shows what a session does, and no values", () => {
    const statement = "UPDATE accounts SET iban = 'DE02120300000000202051' WHERE id = 7"
    const [finding] = evaluate(row(1, [], { statement, state: "idle in transaction" }), row(2, [1], { statement }))
    const text = finding?._tag === "Finding" ? [finding.evidence, ...(finding.detail ?? [])].join("\n") : ""
    assert.match(text, /app1 \(pid 1, idle in transaction after UPDATE accounts\) blocks/)
    assert.match(text, /pid 2 \(app2, running UPDATE accounts\) waits/)
    assert.notInclude(text, "DE02")
  })

  it("leaves short waits alone", () =>
    assert.deepStrictEqual(evaluate(row(1, []), row(2, [1], { waitSeconds: 59 })), []))
})

describe("cache-hit", () => {
  const over = (before: readonly [number, number] | undefined, now: readonly [number, number]) =>
    cacheHit.evaluate([{ hit: now[0], read: now[1] }], cacheHit.thresholds, {
      ...context,
      earlier: before === undefined ? [] : [{ atMillis: 0, rows: [{ hit: before[0], read: before[1] }] }]
    })

  it("judges the interval, not the good old times", () =>
    assert.deepStrictEqual(severities(over([1e9, 1000], [1e9 + 50_000, 51_000])), ["critical"]))

  it("does not judge a few blocks", () => assert.deepStrictEqual(over([1e9, 0], [1e9, 9999]), []))

  it("is unknown, not ok, before there is an interval and after the counters were reset", () => {
    assert.deepStrictEqual(severities(over(undefined, [1e9, 0])), ["StatisticsWindow"])
    assert.deepStrictEqual(severities(over([1e9, 1e6], [10, 10])), ["StatisticsWindow"])
  })
})

describe("idle-in-transaction", () => {
  const session = (application: string, idleSeconds: number) => ({
    pid: 1,
    application,
    user: "app",
    aborted: false,
    idleSeconds
  })
  const evaluate = (...rows: ReadonlyArray<ReturnType<typeof session>>) =>
    idleInTransaction.evaluate(rows, idleInTransaction.thresholds, context)

  it("exempts the session that holds the migration lock, and nobody else", () => {
    assert.deepStrictEqual(evaluate(session("plinth-migrator-lock deploy@host", 5000)), [])
    assert.lengthOf(evaluate(session("plinth-migrator", 5000)), 1)
  })

  it("has one finding per application, by its oldest session", () => {
    const found = evaluate(session("web", 400), session("web", 1000), session("cron", 301))
    assert.deepStrictEqual(severities(found), ["critical", "warning"])
  })
})

describe("unused-index", () => {
  const day = 86_400_000
  const node = (
    name: string,
    days: number,
    fields: Partial<Parameters<typeof unusedIndex.evaluate>[0][number]> = {}
  ) => ({
    node: name,
    sinceMillis: context.nowMillis - days * day,
    candidates: [],
    used: [],
    ...fields
  })
  const index = { id: "1", index: "public.i", table: "public.t", bytes: 2 ** 21 }
  const evaluate = (...rows: ReadonlyArray<ReturnType<typeof node>>) =>
    unusedIndex.evaluate(rows, unusedIndex.thresholds, context)

  it("finds what no node has used for a week", () =>
    assert.deepStrictEqual(severities(evaluate(node("p", 8, { candidates: [index] }), node("r", 9))), ["warning"]))

  it("spares an index that only a replica uses", () =>
    assert.deepStrictEqual(evaluate(node("p", 8, { candidates: [index] }), node("r", 9, { used: ["1"] })), []))

  it("is unknown when the statistics of one node begin less than a week ago", () =>
    assert.deepStrictEqual(severities(evaluate(node("p", 8, { candidates: [index] }), node("r", 6))), [
      "StatisticsWindow"
    ]))

  it("is unknown when a node that may use it could not be asked", () =>
    assert.deepStrictEqual(
      severities(
        evaluate(
          node("p", 8, { candidates: [index] }),
          node("r", 9, { failure: { _tag: "NodeFailure", isAway: true, description: "away" } })
        )
      ),
      ["Unreachable"]
    ))

  it("spares what is small", () =>
    assert.deepStrictEqual(evaluate(node("p", 8, { candidates: [{ ...index, bytes: 8192 }] })), []))
})

describe("role", () => {
  const evaluate = (...rows: Parameters<typeof role.evaluate>[0]) => role.evaluate(rows, role.thresholds, context)

  it("calls two writable nodes a split brain", () =>
    assert.deepInclude(
      evaluate(
        { node: "a", meant: "primary", inRecovery: false },
        { node: "b", meant: "replica", inRecovery: false }
      )[0],
      { severity: "critical", subject: "split brain" }
    ))

  it("calls one server that is named twice that, and no split brain and no promotion", () => {
    const [named, ...others] = evaluate(
      { node: "a", meant: "primary", inRecovery: false, server: "5432 noon" },
      { node: "b", meant: "replica", inRecovery: false, server: "5432 noon" }
    )
    assert.deepInclude(named, { severity: "warning", subject: "a", evidence: "a and b are one server: the primary" })
    assert.isEmpty(others)
    assert.deepInclude(
      evaluate(
        { node: "a", meant: "primary", inRecovery: false, server: "5432 noon" },
        { node: "a", meant: "replica", inRecovery: false, server: "5432 noon" },
        { node: "c", meant: "replica", inRecovery: false, server: "5432 one" }
      )[0],
      { severity: "critical", evidence: "2 nodes accept writes: a, c" }
    )
  })

  it("is critical when nobody accepts writes and a warning after a failover", () => {
    assert.deepStrictEqual(severities(evaluate({ node: "a", meant: "primary", inRecovery: true })), ["critical"])
    assert.deepStrictEqual(
      severities(
        evaluate({ node: "a", meant: "primary", inRecovery: true }, { node: "b", meant: "replica", inRecovery: false })
      ),
      ["warning", "warning"]
    )
  })

  it("does not know the role of a node that is silent", () =>
    assert.deepStrictEqual(severities(evaluate({ node: "a", meant: "primary" })), ["Unreachable"]))
})
