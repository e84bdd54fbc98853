/**
 * The checker of histories, on histories made by hand.
 */
import { assert, describe, it } from "@effect/vitest"
import { PCGRandom } from "effect/Utils"
import type { Rule } from "./support/history/check.ts"
import { check } from "./support/history/check.ts"
import { explain } from "./support/history/explain.ts"
import type { Entry, Outcome } from "./support/history/Operation.ts"
import { keys, planSession } from "./support/history/plan.ts"
import { Recorder } from "./support/history/Recorder.ts"
import type { About } from "./support/history/Recorder.ts"

const done = (value: number, writer: number | undefined, node = "primary"): Outcome => ({
  _tag: "Done",
  observation: { value, writer, entry: value, node }
})

const about = (session: string, kind: About["kind"], key = 0): About => ({
  session,
  key,
  kind,
  level: "session",
  how: "by hand"
})

/** A history of operations that follow one another, and of entries as if every acknowledged write had been kept. */
class Script {
  readonly recorder = new Recorder()
  readonly entries: Array<Entry> = []

  write(session: string, value: number): number {
    const operation = this.recorder.invoke(about(session, "write"))
    operation.complete(done(value, operation.id))
    this.entries.push({ key: 0, value, writer: operation.id })
    return operation.id
  }

  read(session: string, value: number, writer: number | undefined, level: About["level"] = "session"): void {
    this.recorder.invoke({ ...about(session, "read"), level }).complete(done(value, writer, "replica-1"))
  }

  get violations() {
    return check({ operations: this.recorder.operations, entries: this.entries })
  }

  get rules(): ReadonlyArray<Rule> {
    return this.violations.map(({ rule }) => rule)
  }
}

describe("the checker of histories", () => {
  it("lets a history pass in which everybody sees what they have seen", () => {
    const script = new Script()
    script.read("a", 0, undefined)
    const one = script.write("a", 1)
    script.read("a", 1, one)
    const two = script.write("b", 2)
    script.read("a", 2, two)
    assert.isEmpty(script.violations)
  })

  it("finds a read that misses the session's own write", () => {
    const script = new Script()
    script.write("a", 1)
    script.read("a", 0, undefined)
    assert.deepStrictEqual(script.rules, ["read your writes"])
  })

  it("finds a read that is older than an earlier one of its session", () => {
    const script = new Script()
    const one = script.write("a", 1)
    const two = script.write("a", 2)
    script.read("b", 2, two)
    script.read("b", 1, one)
    assert.deepStrictEqual(script.rules, ["monotonic reads"])
  })

  it("lets another session be behind", () => {
    const script = new Script()
    script.write("a", 1)
    script.read("b", 0, undefined)
    assert.isEmpty(script.violations)
  })

  it("lets a read that asked for less be old, and binds the next one by what it did show", () => {
    const script = new Script()
    const one = script.write("a", 1)
    script.read("a", 0, undefined, "eventual")
    script.read("b", 1, one, "eventual")
    assert.isEmpty(script.violations)
    script.read("b", 0, undefined)
    assert.deepStrictEqual(script.rules, ["monotonic reads"])
  })

  it("binds a read only by what had completed when it was invoked", () => {
    const script = new Script()
    const slow = script.recorder.invoke(about("a", "read"))
    script.write("a", 1)
    slow.complete(done(0, undefined))
    assert.isEmpty(script.violations)
  })

  it("does not bind a session by a write that nobody acknowledged", () => {
    const script = new Script()
    const lost = script.recorder.invoke(about("a", "write"))
    lost.complete({ _tag: "Unknown" })
    script.read("a", 0, undefined)
    assert.isEmpty(script.violations)
    script.entries.push({ key: 0, value: 1, writer: lost.id })
    script.read("a", 1, lost.id)
    assert.isEmpty(script.violations)
  })

  it("finds a write that was made on a state from before what its session had seen", () => {
    const script = new Script()
    script.write("a", 1)
    script.read("b", 1, 1)
    script.write("b", 1)
    assert.include(script.rules, "writes follow reads")
  })

  it("finds a value that nobody wrote, one that was rolled back and one from the future", () => {
    const script = new Script()
    script.read("a", 1, 99)
    const undone = script.recorder.invoke(about("b", "write"))
    undone.complete({ _tag: "Undone" })
    script.read("c", 2, undone.id)
    const early = script.recorder.invoke(about("d", "read"))
    early.complete(done(3, early.id + 1))
    script.write("e", 3)
    const found = script.violations.filter(({ rule }) => rule === "only what was written")
    assert.deepStrictEqual(
      found.map(({ detail }) => detail),
      ["it shows 1: nobody wrote it", "it shows 2: it was rolled back", "it shows 3: it was not written yet"]
    )
  })

  it("finds two histories of one key", () => {
    const script = new Script()
    script.write("a", 1)
    script.write("b", 1)
    assert.include(script.rules, "one writer per version")
  })

  it("finds a counter without its entry", () => {
    const script = new Script()
    const one = script.write("a", 1)
    script.recorder
      .invoke(about("b", "read"))
      .complete({ _tag: "Done", observation: { value: 1, writer: one, entry: 0, node: "replica-1" } })
    assert.deepStrictEqual(script.rules, ["one snapshot"])
  })

  it("finds acknowledged and seen writes that are gone at the end, and rolled back ones that are not", () => {
    const script = new Script()
    script.write("a", 1)
    script.entries.pop()
    const unknown = script.recorder.invoke(about("a", "write"))
    unknown.complete({ _tag: "Unknown" })
    script.read("b", 2, unknown.id)
    const undone = script.recorder.invoke(about("a", "write"))
    undone.complete({ _tag: "Undone" })
    script.entries.push({ key: 0, value: 3, writer: undone.id })
    assert.deepStrictEqual(script.rules, ["nothing is lost", "nothing is lost", "what is undone stays undone"])
  })

  // A busy machine takes a second, a quadratic checker minutes.
  it("checks a hundred thousand operations within ten seconds", () => {
    const script = new Script()
    for (let value = 1; value <= 50_000; value++) {
      const session = `session ${value % 100}`
      script.read(session, value, script.write(session, value))
    }
    const start = performance.now()
    assert.isEmpty(script.violations)
    assert.isBelow(performance.now() - start, 10_000)
  })
})

describe("an explanation", () => {
  it("names the two operations, what the servers went through and the seed", () => {
    const script = new Script()
    script.write("a", 1)
    script.write("b", 2)
    script.recorder.incident("pause replica-1")
    script.read("a", 0, undefined)
    const { operations, incidents } = script.recorder
    const lines = explain(script.violations, operations, incidents, 42).split("\n")
    assert.strictEqual(lines.length, 5)
    assert.match(lines[0] ?? "", /^1 violations; the first is of "read your writes": it shows 0 after 1$/)
    assert.match(lines[1] ?? "", /contradicts {2}#1 a write of 0 \(by hand\): 1 \(by #1\) on primary/)
    assert.match(lines[2] ?? "", /violates {5}#3 a read of 0 \(by hand\): 0 \(by #0\) on replica-1/)
    assert.match(lines[3] ?? "", /incident {5}\+\d+ ms pause replica-1/)
    assert.match(lines[4] ?? "", /seed {9}42/)
  })
})

describe("a planned session", () => {
  it("follows from its seed, and another seed gives another one", () => {
    const plan = (seed: number) => planSession(new PCGRandom(seed, 3, 7))
    assert.deepStrictEqual(plan(1), plan(1))
    assert.notDeepEqual(plan(1), plan(2))
  })

  it("has every kind of step among a few hundred sessions, on keys that exist", () => {
    const steps = Array.from({ length: 300 }, (_, session) => planSession(new PCGRandom(1, 0, session))).flat()
    assert.deepStrictEqual([...new Set(steps.map((step) => step._tag))].sort(), [
      "Both",
      "Increment",
      "Move",
      "Read",
      "Report",
      "Rest",
      "StaleRead",
      "Stream",
      "Update"
    ])
    for (const step of steps) if ("key" in step) assert.isBelow(step.key, keys)
  })
})
