/**
 * What a standby is doing, decided from samples of both ends.
 *
 * No formula over one end tells the truth: `now() - pg_last_xact_replay_timestamp()` grows on an idle primary, and
 * `receive = replay` says 0 while the link is cut. So this is a decision over both samples, and it is pure.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * What the primary said. Take it *before* the standby's, so that a gap is never an artefact of the order.
 *
 * @since 0.1.0
 * @category models
 */
export interface PrimarySample {
  /** The caller's clock when the sample was sent. */
  readonly atMillis: number
  readonly systemIdentifier: string
  /** From `pg_walfile_name(pg_current_wal_insert_lsn())`: the control file is late after a promotion. */
  readonly timeline: number
  /** What can have been sent: the insert position runs ahead of it under `synchronous_commit = off`. */
  readonly flushedLsn: bigint
  /** Names of slots whose `wal_status` is `lost`. */
  readonly lostSlots: ReadonlyArray<string>
  /** The largest `replay_lag` of `pg_stat_replication`, 0 where all are NULL, undefined where it may not be seen. */
  readonly largestReplayLagSeconds?: number | undefined
}

/**
 * The WAL receiver of a standby: `None` when there is no such process, `Hidden` when there is one whose columns the
 * user may not see.
 *
 * @since 0.1.0
 * @category models
 */
export type WalReceiver =
  | { readonly _tag: "None" }
  | { readonly _tag: "Hidden"; readonly user: string }
  | {
      readonly _tag: "Running"
      /** `streaming`, `waiting`, `starting`, `restarting`, `stopping`. */
      readonly status: string
      /** Since the last message of the primary, on the standby's clock. */
      readonly silentSeconds?: number | undefined
    }

/**
 * What the standby said.
 *
 * @since 0.1.0
 * @category models
 */
export interface StandbySample {
  readonly atMillis: number
  readonly systemIdentifier: string
  readonly inRecovery: boolean
  /** The larger of `received_tli` and `min_recovery_end_timeline`, undefined where neither is known. */
  readonly timeline?: number | undefined
  readonly receivedLsn?: bigint | undefined
  readonly replayedLsn?: bigint | undefined
  readonly replayPaused: boolean
  readonly receiver: WalReceiver
  /** The standby's `primary_slot_name`. */
  readonly slot?: string | undefined
  /** Since the last replayed commit was made: an upper bound of the lag, and no more than that. */
  readonly lastReplayedCommitAgeSeconds?: number | undefined
}

/**
 * Where the primary's WAL ended at a moment; a few of them, oldest first, turn a gap in bytes into seconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Position {
  readonly atMillis: number
  readonly lsn: bigint
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Input {
  /** Undefined when the primary did not answer. */
  readonly primary?: PrimarySample | undefined
  readonly standby: StandbySample
  /** Earlier positions of the same primary, oldest first. */
  readonly positions?: ReadonlyArray<Position> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type ReplicationState = Data.TaggedEnum<{
  /** Everything that the primary has flushed is replayed; however long ago that was. */
  CaughtUp: { readonly reason: string }
  /** The link is up and WAL is on its way. */
  Streaming: { readonly bytes: bigint; readonly seconds: number; readonly reason: string }
  /** `pg_wal_replay_pause()`: WAL arrives and is not replayed. */
  Paused: { readonly bytes: bigint | undefined; readonly seconds: number | undefined; readonly reason: string }
  /** No WAL arrives, whatever receive and replay say. */
  Disconnected: { readonly bytes: bigint | undefined; readonly reason: string }
  /** The standby follows another history than the primary's. */
  WrongTimeline: { readonly standby: number; readonly primary: number; readonly reason: string }
  /** The primary has removed WAL that the standby's slot needed: only a new copy helps. */
  SlotLost: { readonly slot: string; readonly reason: string }
  /** It is not in recovery: a second primary. */
  NotStandby: { readonly reason: string }
  /** Its system identifier is another one: it is no copy of this primary. */
  OtherCluster: { readonly reason: string }
  /** It cannot be told; `grant` is the statement that would let it be. */
  Unknown: { readonly reason: string; readonly grant: string | undefined }
}>

const State = Data.taggedEnum<ReplicationState>()

/**
 * With WAL to send, a walsender sends it at once. A receiver that is behind and has heard nothing for this long has a
 * dead link that TCP has not noticed; `wal_receiver_timeout` (60 s) would notice it later.
 */
const silentLinkSeconds = 10

/**
 * The state of one standby.
 *
 * @since 0.1.0
 * @category decisions
 */
export const decide = (input: Input): ReplicationState => {
  const { primary, standby } = input
  return (
    identity(primary, standby) ??
    lostSlot(primary, standby) ??
    timelines(primary, standby) ??
    link(primary, standby) ??
    replay(input)
  )
}

/**
 * `0/16B3748` as a number of bytes since the beginning of WAL.
 *
 * @since 0.1.0
 * @category conversions
 */
export const parseLsn = (lsn: string): bigint => {
  const [high = "0", low = "0"] = lsn.split("/")
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}

const identity = (primary: PrimarySample | undefined, standby: StandbySample): ReplicationState | undefined => {
  if (primary !== undefined && primary.systemIdentifier !== standby.systemIdentifier) {
    return State.OtherCluster({
      reason: `its system identifier is ${standby.systemIdentifier}, the primary's is ${primary.systemIdentifier}`
    })
  }
  return standby.inRecovery ? undefined : State.NotStandby({ reason: "it is not in recovery and accepts writes" })
}

const lostSlot = (primary: PrimarySample | undefined, standby: StandbySample): ReplicationState | undefined =>
  standby.slot !== undefined && primary !== undefined && primary.lostSlots.includes(standby.slot)
    ? State.SlotLost({ slot: standby.slot, reason: `the primary has removed WAL that slot ${standby.slot} needed` })
    : undefined

/** A standby that streams on an older timeline is on its way through the switch; one that does not stream is stuck. */
const timelines = (primary: PrimarySample | undefined, standby: StandbySample): ReplicationState | undefined => {
  if (primary === undefined || standby.timeline === undefined || standby.timeline === primary.timeline) return undefined
  if (standby.receiver._tag === "Hidden") return undefined
  if (standby.receiver._tag === "Running" && standby.receiver.status === "streaming") return undefined
  return State.WrongTimeline({
    standby: standby.timeline,
    primary: primary.timeline,
    reason: `it is on timeline ${standby.timeline}, the primary on ${primary.timeline}, and its WAL receiver ${
      standby.receiver._tag === "None" ? "is gone" : `is ${standby.receiver.status}`
    }`
  })
}

const link = (primary: PrimarySample | undefined, standby: StandbySample): ReplicationState | undefined => {
  const bytes = gap(primary?.flushedLsn, standby.replayedLsn)
  const { receiver } = standby
  if (receiver._tag === "None") return State.Disconnected({ bytes, reason: "it has no WAL receiver" })
  if (receiver._tag === "Hidden") return undefined
  if (receiver.status !== "streaming") {
    return State.Disconnected({ bytes, reason: `its WAL receiver is ${receiver.status} and does not stream` })
  }
  const missing = gap(primary?.flushedLsn, standby.receivedLsn)
  return missing !== undefined && missing > 0n && (receiver.silentSeconds ?? 0) > silentLinkSeconds
    ? State.Disconnected({
        bytes,
        reason: `it has heard nothing for ${Math.round(receiver.silentSeconds ?? 0)} s while ${missing} bytes wait`
      })
    : undefined
}

const replay = (input: Input): ReplicationState => {
  const { primary, standby } = input
  const bytes = gap(primary?.flushedLsn, standby.replayedLsn)
  if (standby.replayPaused) {
    const seconds = bytes === undefined ? undefined : lagSeconds(input, bytes)
    return State.Paused({ bytes, seconds, reason: "replay is paused by pg_wal_replay_pause()" })
  }
  if (standby.receiver._tag === "Hidden") {
    return State.Unknown({
      reason: `${standby.receiver.user} may not see the WAL receiver, so a cut link would look like an idle one`,
      grant: "pg_monitor"
    })
  }
  if (bytes === undefined) return State.Unknown({ reason: "the primary's WAL position is not known", grant: undefined })
  if (bytes === 0n) return State.CaughtUp({ reason: "all that the primary has flushed is replayed" })
  return State.Streaming({ bytes, seconds: lagSeconds(input, bytes), reason: `${bytes} bytes wait to be replayed` })
}

const gap = (ahead: bigint | undefined, behind: bigint | undefined): bigint | undefined => {
  if (ahead === undefined || behind === undefined) return undefined
  return ahead > behind ? ahead - behind : 0n
}

/**
 * Behind since the first known position of the primary that is past what the standby has replayed. Where the positions
 * do not reach back that far, the smaller of the two upper bounds that the servers know; an idle primary makes the
 * age of the last commit large and leaves `replay_lag` at 0, a standby that is stuck makes both grow.
 */
const lagSeconds = (input: Input, bytes: bigint): number => {
  const { primary, standby } = input
  if (bytes === 0n) return 0
  const replayed = standby.replayedLsn ?? 0n
  const now = standby.atMillis
  const past = (input.positions ?? []).findIndex((position) => position.lsn > replayed)
  const since = past === -1 ? undefined : input.positions?.[past]
  const seen = since === undefined ? 0 : Math.max(0, (now - since.atMillis) / 1000)
  if (past !== 0 && input.positions !== undefined && input.positions.length > 0) return seen
  const bounds = [standby.lastReplayedCommitAgeSeconds, primary?.largestReplayLagSeconds].filter((x) => x !== undefined)
  return Math.max(seen, bounds.length === 0 ? 0 : Math.min(...bounds))
}
