import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { decide, parseLsn } from "../../src/NodeMonitor/ReplicationState.ts"
import type { Input, PrimarySample, StandbySample } from "../../src/NodeMonitor/ReplicationState.ts"

const primary = (fields: Partial<PrimarySample> = {}): PrimarySample => ({
  atMillis: 100_000,
  systemIdentifier: "7",
  timeline: 1,
  flushedLsn: 1000n,
  lostSlots: [],
  largestReplayLagSeconds: 0,
  ...fields
})

const standby = (fields: Partial<StandbySample> = {}): StandbySample => ({
  atMillis: 100_000,
  systemIdentifier: "7",
  inRecovery: true,
  timeline: 1,
  receivedLsn: 1000n,
  replayedLsn: 1000n,
  replayPaused: false,
  receiver: { _tag: "Running", status: "streaming", silentSeconds: 1 },
  ...fields
})

const state = (input: Partial<Input> & { readonly standby: StandbySample }) => decide({ primary: primary(), ...input })

describe("ReplicationState", () => {
  it("calls a standby of an idle primary caught up, however old its last commit is", () =>
    assert.strictEqual(state({ standby: standby({ lastReplayedCommitAgeSeconds: 86_400 }) })._tag, "CaughtUp"))

  it("calls a standby without a WAL receiver disconnected, although receive equals replay and nothing is missing", () =>
    assert.strictEqual(state({ standby: standby({ receiver: { _tag: "None" } }) })._tag, "Disconnected"))

  it("calls it disconnected, too, while the primary does not answer", () =>
    assert.strictEqual(decide({ standby: standby({ receiver: { _tag: "None" } }) })._tag, "Disconnected"))

  it("does not call a receiver that waits for its startup process streaming", () =>
    assert.strictEqual(
      state({ standby: standby({ receiver: { _tag: "Running", status: "waiting" } }) })._tag,
      "Disconnected"
    ))

  it("notices a link that is dead but open: WAL waits and nothing is heard", () => {
    const silent = standby({
      receivedLsn: 900n,
      replayedLsn: 900n,
      receiver: { _tag: "Running", status: "streaming", silentSeconds: 11 }
    })
    assert.strictEqual(state({ standby: silent })._tag, "Disconnected")
  })

  it("takes silence for idleness when nothing waits", () =>
    assert.strictEqual(
      state({ standby: standby({ receiver: { _tag: "Running", status: "streaming", silentSeconds: 25 } }) })._tag,
      "CaughtUp"
    ))

  it("says how far a paused standby is behind", () => {
    const paused = state({ standby: standby({ replayPaused: true, replayedLsn: 400n }) })
    assert.strictEqual(paused._tag, "Paused")
    assert.strictEqual(paused._tag === "Paused" ? paused.bytes : undefined, 600n)
  })

  it("puts the cut link before the pause", () =>
    assert.strictEqual(
      state({ standby: standby({ replayPaused: true, receiver: { _tag: "None" } }) })._tag,
      "Disconnected"
    ))

  it("sees an old primary that came back as a standby without a rewind", () => {
    const stale = standby({ timeline: 1, receiver: { _tag: "Running", status: "waiting" } })
    assert.strictEqual(state({ primary: primary({ timeline: 2 }), standby: stale })._tag, "WrongTimeline")
  })

  it("lets a standby that streams over the switch of timelines pass", () => {
    const following = standby({ timeline: 1, replayedLsn: 900n })
    assert.strictEqual(state({ primary: primary({ timeline: 2 }), standby: following })._tag, "Streaming")
  })

  it("names the slot that the primary has invalidated", () => {
    const lost = state({ primary: primary({ lostSlots: ["b", "a"] }), standby: standby({ slot: "a" }) })
    assert.deepInclude(lost, { _tag: "SlotLost", slot: "a" })
  })

  it("does not mind another standby's lost slot", () =>
    assert.strictEqual(
      state({ primary: primary({ lostSlots: ["b"] }), standby: standby({ slot: "a" }) })._tag,
      "CaughtUp"
    ))

  it("refuses a standby of another cluster", () =>
    assert.strictEqual(state({ standby: standby({ systemIdentifier: "8" }) })._tag, "OtherCluster"))

  it("does not take a promoted node for a standby", () =>
    assert.strictEqual(state({ standby: standby({ inRecovery: false }) })._tag, "NotStandby"))

  it("does not know, and names the role, where the receiver's columns are hidden", () => {
    const hidden = state({ standby: standby({ receiver: { _tag: "Hidden", user: "app" } }) })
    assert.deepInclude(hidden, { _tag: "Unknown", grant: "pg_monitor" })
  })

  describe("seconds", () => {
    const seconds = (input: Partial<Input> & { readonly standby: StandbySample }): number | undefined => {
      const found = state(input)
      return found._tag === "Streaming" ? found.seconds : undefined
    }

    it("run from the first position of the primary that is not replayed yet", () =>
      assert.strictEqual(
        seconds({
          standby: standby({ replayedLsn: 500n, lastReplayedCommitAgeSeconds: 3600 }),
          positions: [
            { atMillis: 80_000, lsn: 400n },
            { atMillis: 85_000, lsn: 500n },
            { atMillis: 90_000, lsn: 600n }
          ]
        }),
        10
      ))

    it("are 0 for a record that is on its way, although the last commit was an hour ago", () =>
      assert.strictEqual(
        seconds({
          standby: standby({ replayedLsn: 990n, lastReplayedCommitAgeSeconds: 3600 }),
          positions: [{ atMillis: 95_000, lsn: 990n }]
        }),
        0
      ))

    it("are the smaller bound of the servers at the first sight, and so 0 on an idle primary", () => {
      const late = standby({ replayedLsn: 500n, lastReplayedCommitAgeSeconds: 3600 })
      assert.strictEqual(seconds({ standby: late }), 0)
      assert.strictEqual(seconds({ primary: primary({ largestReplayLagSeconds: 42 }), standby: late }), 42)
    })

    it("grow while the standby stands still", () => {
      const positions = [{ atMillis: 40_000, lsn: 600n }]
      assert.isAtLeast(seconds({ standby: standby({ replayedLsn: 500n }), positions }) ?? 0, 60)
    })
  })

  it("says caught up only when nothing is missing and the receiver streams, whatever the samples", () => {
    const lsn = Schema.BigIntFromSelf.pipe(Schema.betweenBigInt(0n, 3n))
    const Sample = Schema.Struct({
      flushed: lsn,
      received: lsn,
      replayed: lsn,
      paused: Schema.Boolean,
      inRecovery: Schema.Boolean,
      silentSeconds: Schema.Literal(0, 60),
      timeline: Schema.Literal(1, 2),
      status: Schema.Literal("streaming", "waiting", "none", "hidden")
    })
    FastCheck.assert(
      FastCheck.property(Arbitrary.make(Sample), (sample) => {
        const found = decide({
          primary: primary({ flushedLsn: sample.flushed }),
          standby: standby({
            receivedLsn: sample.received,
            replayedLsn: sample.replayed,
            replayPaused: sample.paused,
            inRecovery: sample.inRecovery,
            timeline: sample.timeline,
            receiver:
              sample.status === "none"
                ? { _tag: "None" }
                : sample.status === "hidden"
                  ? { _tag: "Hidden", user: "app" }
                  : { _tag: "Running", status: sample.status, silentSeconds: sample.silentSeconds }
          })
        })
        const healthy = sample.inRecovery && !sample.paused && sample.status === "streaming"
        const isDone = sample.replayed >= sample.flushed
        const isHeard = sample.received >= sample.flushed || sample.silentSeconds === 0
        assert.strictEqual(found._tag === "CaughtUp", healthy && isDone && isHeard)
      })
    )
  })

  it("reads an LSN as bytes", () => {
    assert.strictEqual(parseLsn("0/0"), 0n)
    assert.strictEqual(parseLsn("0/16B3748"), 0x16b3748n)
    assert.strictEqual(parseLsn("A/0"), 0xa_0000_0000n)
  })
})
