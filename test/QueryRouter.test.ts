/**
 * The router's decisions, without a database: what a session has seen, who is the primary, which node serves a read.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { ConnectionPool, PooledConnection } from "../src/ConnectionPool.ts"
import type { ConnectionTarget, RouterSettings } from "../src/DatabaseConfig.ts"
import { DatabaseError } from "../src/DatabaseError.ts"
import type { MonitoredNode, NodeSample, NodeStatus } from "../src/NodeMonitor.ts"
import { chooseForRead } from "../src/QueryRouter/choose.ts"
import { Sessions } from "../src/QueryRouter/context.ts"
import type { RoutingOptions } from "../src/QueryRouter/context.ts"
import { RoutedNode } from "../src/QueryRouter/RoutedNode.ts"
import { Session } from "../src/QueryRouter/Session.ts"
import * as Token from "../src/QueryRouter/token.ts"
import { excluded, Positions, primaryOf } from "../src/QueryRouter/topology.ts"

const sample = (fields: Partial<NodeSample> = {}): NodeSample => ({
  startedAt: 0,
  connectionOpenedAt: -1_000,
  role: "standby",
  systemIdentifier: "7",
  identity: "a server",
  timeline: 1,
  lsn: 100n,
  streaming: true,
  paused: false,
  ...fields
})

const target: ConnectionTarget = {
  host: "db",
  port: 5432,
  database: "app",
  username: "app",
  ssl: false,
  applicationName: "test",
  connectTimeout: Duration.seconds(1)
}

const gone = new DatabaseError({ reason: "ConnectionRefused", operation: "monitor", description: "it is gone" })

/** A node whose status a test sets. */
class FakeNode implements MonitoredNode {
  readonly name: string
  readonly target = target
  status: NodeStatus

  constructor(name: string, first?: Partial<NodeSample>) {
    this.name = name
    this.status =
      first === undefined ? { _tag: "Unknown" } : { _tag: "Up", sample: sample({ identity: name, ...first }) }
  }

  up(fields: Partial<NodeSample>): this {
    const last = this.last
    this.status = { _tag: "Up", sample: { ...(last ?? sample({ identity: this.name })), ...fields } }
    return this
  }

  down(): this {
    this.status = { _tag: "Down", error: gone, last: this.last }
    return this
  }

  private get last(): NodeSample | undefined {
    return this.status._tag === "Up" ? this.status.sample : this.status._tag === "Down" ? this.status.last : undefined
  }
}

const primaryNode = (fields: Partial<NodeSample> = {}) => new FakeNode("primary", { role: "primary", ...fields })
const replicaNode = (name = "replica", fields: Partial<NodeSample> = {}) => new FakeNode(name, fields)

/** A session that ran one statement on a node from `from` to `to`. */
const afterStatement = (node: MonitoredNode, to: number, session = new Session()): Session => {
  session.started(node)
  session.finished(node, to)
  return session
}

describe("a session", () => {
  it("keeps a statement pending until a sample of its node that was started after it had finished", () => {
    const primary = primaryNode({ startedAt: 9, lsn: 500n })
    const session = afterStatement(primary, 10)
    assert.strictEqual(session.settle(primary, 11), primary)
    assert.isUndefined(session.floor)
    primary.up({ startedAt: 10, lsn: 600n })
    assert.isUndefined(session.settle(primary, 12))
    assert.deepStrictEqual(session.floor, { systemIdentifier: "7", timeline: 1, lsn: 600n })
  })

  it("does not place a statement that still runs, however new the sample is", () => {
    const primary = primaryNode({ startedAt: 100 })
    const session = new Session()
    session.started(primary)
    assert.strictEqual(session.settle(primary, 101), primary)
    assert.isUndefined(session.settlesAfter(primary))
    session.finished(primary, 102)
    assert.strictEqual(session.settle(primary, 103), primary)
    assert.strictEqual(session.settlesAfter(primary), 102)
  })

  it("waits for the last of several statements to finish", () => {
    const primary = primaryNode({ startedAt: 50 })
    const session = new Session()
    session.started(primary)
    session.started(primary)
    session.finished(primary, 60)
    primary.up({ startedAt: 70 })
    assert.strictEqual(session.settle(primary, 71), primary)
    session.finished(primary, 80)
    assert.strictEqual(session.settle(primary, 81), primary)
    primary.up({ startedAt: 80 })
    assert.isUndefined(session.settle(primary, 82))
  })

  it("is bound by a read on a replica as by a write", () => {
    const primary = primaryNode({ startedAt: 100 })
    const replica = replicaNode("replica", { startedAt: 9, lsn: 300n })
    const session = afterStatement(replica, 10)
    assert.strictEqual(session.settle(primary, 11), replica)
    replica.up({ startedAt: 11, lsn: 310n })
    assert.isUndefined(session.settle(primary, 12))
    assert.strictEqual(session.floor?.lsn, 310n)
  })

  it("goes to the primary when the replica it read from has crashed, since its position has gone back", () => {
    const primary = primaryNode({ startedAt: 15, lsn: 900n })
    const replica = replicaNode("replica", { startedAt: 9, lsn: 300n })
    const session = afterStatement(replica, 10)
    replica.up({ startedAt: 20, connectionOpenedAt: 18, lsn: 200n })
    assert.strictEqual(session.settle(primary, 21), primary)
    assert.isUndefined(session.floor)
    primary.up({ startedAt: 22, lsn: 950n })
    assert.isUndefined(session.settle(primary, 23))
    assert.deepStrictEqual(session.floor, { systemIdentifier: "7", timeline: 1, lsn: 950n })
  })

  it("goes to the primary also when it has read on the crashed replica again", () => {
    const primary = primaryNode({ startedAt: 15, lsn: 900n })
    const replica = replicaNode("replica", { startedAt: 9, lsn: 300n })
    const session = afterStatement(replica, 19, afterStatement(replica, 10))
    replica.up({ startedAt: 20, connectionOpenedAt: 18, lsn: 200n })
    assert.strictEqual(session.settle(primary, 21), primary)
  })

  it("trusts a replica whose connection to the monitor was open when the statement finished", () => {
    const replica = replicaNode("replica", { startedAt: 20, connectionOpenedAt: 10, lsn: 300n })
    const session = afterStatement(replica, 10)
    assert.isUndefined(session.settle(primaryNode(), 21))
  })

  it("goes to the primary when the replica it read from is down", () => {
    const primary = primaryNode()
    const replica = replicaNode()
    const session = afterStatement(replica, 10)
    replica.down()
    assert.strictEqual(session.settle(primary, 11), primary)
    assert.isUndefined(session.settle(primary.up({ startedAt: 11 }), 12))
  })

  it("stays with a primary that is down while nobody has taken over, and moves to the one that has", () => {
    const primary = primaryNode()
    const session = afterStatement(primary, 10)
    primary.down()
    assert.strictEqual(session.settle(primary, 11), primary)
    const promoted = replicaNode("promoted", { role: "primary", timeline: 2, startedAt: 5, lsn: 90n })
    assert.strictEqual(session.settle(promoted, 12), promoted)
    assert.isUndefined(session.settle(promoted.up({ startedAt: 13, lsn: 95n }), 14))
    assert.deepStrictEqual(session.floor, { systemIdentifier: "7", timeline: 2, lsn: 95n })
  })

  it("goes to the primary when it has statements pending on two replicas: neither has what the other showed", () => {
    const primary = primaryNode()
    const one = replicaNode("one")
    const session = afterStatement(replicaNode("two"), 11, afterStatement(one, 10))
    assert.strictEqual(session.settle(primary, 12), primary)
  })

  it("goes to the primary when it has statements pending there and on a replica, in either order", () => {
    const primary = primaryNode()
    const replica = replicaNode()
    assert.strictEqual(afterStatement(primary, 11, afterStatement(replica, 10)).settle(primary, 12), primary)
    assert.strictEqual(afterStatement(replica, 11, afterStatement(primary, 10)).settle(primary, 12), primary)
  })

  it("counts hearsay as seen on the node at that moment", () => {
    const primary = primaryNode({ startedAt: 9 })
    const session = new Session()
    session.sawAsOf(primary, 10)
    assert.strictEqual(session.settle(primary, 11), primary)
    assert.isUndefined(session.settle(primary.up({ startedAt: 10 }), 12))
  })

  it("is covered by its position or a later one, on its timeline or a later one, in its cluster", () => {
    const session = new Session({ systemIdentifier: "7", timeline: 2, lsn: 100n })
    assert.isTrue(session.covers(sample({ timeline: 2, lsn: 100n })))
    assert.isTrue(session.covers(sample({ timeline: 3, lsn: 101n })))
    assert.isFalse(session.covers(sample({ timeline: 2, lsn: 99n })))
    assert.isFalse(session.covers(sample({ timeline: 1, lsn: 1_000n })))
    assert.isFalse(session.covers(sample({ timeline: 2, lsn: 1_000n, systemIdentifier: "8" })))
    assert.isTrue(new Session().covers(sample()))
  })

  it("keeps the larger position over a change of timeline", () => {
    const promoted = primaryNode({ timeline: 2, startedAt: 20, lsn: 90n })
    const session = afterStatement(promoted, 10, new Session({ systemIdentifier: "7", timeline: 1, lsn: 100n }))
    session.settle(promoted, 21)
    assert.deepStrictEqual(session.floor, { systemIdentifier: "7", timeline: 2, lsn: 100n })
  })

  it("never lowers its floor, whatever happens to the nodes", () => {
    const nodeIndex = FastCheck.integer({ min: 0, max: 2 })
    const event = FastCheck.oneof(
      FastCheck.record({ tag: FastCheck.constant("statement" as const), node: nodeIndex }),
      FastCheck.record({ tag: FastCheck.constant("down" as const), node: nodeIndex }),
      FastCheck.record({
        tag: FastCheck.constant("sample" as const),
        node: nodeIndex,
        lsn: FastCheck.bigInt({ min: 0n, max: 1_000n }),
        timeline: FastCheck.integer({ min: 1, max: 3 }),
        crashed: FastCheck.boolean()
      })
    )
    FastCheck.assert(
      FastCheck.property(FastCheck.array(event, { maxLength: 60 }), (events) => {
        const primary = primaryNode()
        const nodes = [primary, replicaNode("one"), replicaNode("two")]
        const session = new Session()
        let now = 1
        for (const happened of events) {
          const node = nodes[happened.node] ?? primary
          now++
          if (happened.tag === "statement") afterStatement(node, now, session)
          else if (happened.tag === "down") node.down()
          else {
            const { crashed, lsn, timeline } = happened
            node.up({ startedAt: now, lsn, timeline, ...(crashed ? { connectionOpenedAt: now } : {}) })
          }
          const before = session.floor
          session.settle(primary, ++now)
          if (before === undefined) continue
          assert.isDefined(session.floor)
          assert.isTrue((session.floor?.lsn ?? 0n) >= before.lsn)
          assert.isTrue((session.floor?.timeline ?? 0) >= before.timeline)
        }
      })
    )
  })
})

const connection = (openedAt: number): PooledConnection => ({
  processId: 1,
  openedAt,
  status: "I",
  run: () => Effect.succeed([]),
  lost: Effect.never
})

const pool: ConnectionPool["Type"] = {
  target: {
    host: "localhost",
    port: 5432,
    database: "app",
    username: "app",
    ssl: false,
    applicationName: "test",
    connectTimeout: Duration.seconds(1)
  },
  keepsSessions: true,
  name: "a pool",
  run: () => Effect.succeed([]),
  read: () => Effect.succeed([]),
  readIf: () => Effect.succeedNone,
  lease: () =>
    Effect.succeed({
      connection: connection(0),
      release: Effect.void,
      remind: () => {},
      outcomeOf: () => Effect.succeedNone
    }),
  use: (f) => f(connection(0)),
  reserve: Effect.succeed(connection(0)),
  stats: Effect.dieMessage("not asked for"),
  holders: Effect.succeed([]),
  reset: Effect.void,
  resize: () => Effect.void,
  nodeIs: () => Effect.void
}

const routed = (
  monitored: MonitoredNode,
  now: () => number = () => 0,
  identities = new WeakMap<PooledConnection, string>()
) => new RoutedNode(monitored, pool, identities, now)

describe("the sessions of a fiber", () => {
  it("keep what was seen of one cluster apart from another", () => {
    const [here, there] = [{}, {}]
    const sessions = new Sessions()
    assert.strictEqual(sessions.of(here), sessions.of(here))
    assert.notStrictEqual(sessions.of(here), sessions.of(there))
    const placed = new Session()
    assert.strictEqual(sessions.with(here, placed).of(here), placed)
    assert.strictEqual(sessions.with(here, placed).of(there), sessions.of(there))
    assert.notStrictEqual(sessions.of(here), placed)
  })
})

describe("a routed node", () => {
  it("vouches for a connection of the sampled server that was opened before the sample", () => {
    const [early, late, other] = [connection(10), connection(30), connection(10)]
    const identities = new WeakMap([
      [early, "A"],
      [late, "A"],
      [other, "B"]
    ])
    const node = routed(replicaNode(), () => 0, identities)
    const seen = sample({ startedAt: 20, identity: "A" })
    assert.isTrue(node.vouchesFor(early, seen))
    assert.isFalse(node.vouchesFor(late, seen))
    assert.isFalse(node.vouchesFor(other, seen))
    assert.isFalse(node.vouchesFor(connection(10), seen))
  })

  it.effect("counts statements as seen from before they are sent, also failed and interrupted ones", () =>
    Effect.gen(function* () {
      let now = 10
      const primary = primaryNode({ startedAt: 9 })
      const node = routed(primary, () => now)
      const failed = new Session()
      yield* Effect.ignore(node.track(failed, Effect.fail("it failed")))
      assert.strictEqual(failed.settle(primary, 11), primary)
      const interrupted = new Session()
      const fiber = yield* Effect.fork(node.track(interrupted, Effect.never))
      yield* Effect.yieldNow()
      assert.strictEqual(node.outstanding, 1)
      primary.up({ startedAt: 20 })
      assert.strictEqual(interrupted.settle(primary, 21), primary)
      now = 30
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(node.outstanding, 0)
      assert.strictEqual(interrupted.settle(primary, 31), primary)
      assert.isUndefined(interrupted.settle(primary.up({ startedAt: 30 }), 32))
    })
  )
})

const nameOf = (found: Either.Either<MonitoredNode, DatabaseError>) =>
  Either.match(found, { onLeft: (error) => error.reason, onRight: (node) => node.name })

describe("the primary", () => {
  it("is the node that is not in recovery, whichever was configured", () => {
    const old = replicaNode("old")
    assert.strictEqual(nameOf(primaryOf([old, primaryNode()], old)), "primary")
  })

  it("is the configured node while nobody has shown to be it", () => {
    const [one, two] = [new FakeNode("one"), new FakeNode("two")]
    assert.strictEqual(nameOf(primaryOf([one, two], one)), "one")
    assert.strictEqual(nameOf(primaryOf([one.down(), replicaNode("two")], one)), "one")
  })

  it("is the one on the highest timeline when an old one came back", () => {
    const [old, promoted] = [primaryNode(), replicaNode("promoted", { role: "primary", timeline: 2 })]
    assert.strictEqual(nameOf(primaryOf([old, promoted], old)), "promoted")
    assert.strictEqual(nameOf(primaryOf([promoted, old], promoted)), "promoted")
  })

  it("is still the newer one while that is down: the old one is not asked to write", () => {
    const [old, promoted] = [primaryNode(), replicaNode("promoted", { role: "primary", timeline: 2 }).down()]
    assert.strictEqual(nameOf(primaryOf([old, promoted], old)), "promoted")
  })

  it("is nobody when a standby follows a newer timeline than the only primary's", () => {
    const old = primaryNode()
    assert.strictEqual(nameOf(primaryOf([old, replicaNode("follower", { timeline: 2 })], old)), "SplitBrain")
  })

  it("is nobody when two servers are primaries on one timeline, until one of them goes away", () => {
    const [one, two] = [
      replicaNode("one", { role: "primary", timeline: 2 }),
      replicaNode("two", { role: "primary", timeline: 2 })
    ]
    assert.strictEqual(nameOf(primaryOf([one, two], one)), "SplitBrain")
    assert.strictEqual(nameOf(primaryOf([one.down(), two], one)), "two")
  })

  it("may be reached by two addresses", () => {
    const [one, two] = [
      replicaNode("one", { role: "primary", identity: "A" }),
      replicaNode("two", { role: "primary", identity: "A" })
    ]
    assert.strictEqual(nameOf(primaryOf([one, two], one)), "one")
  })

  it("is never a node of another cluster, however high its timeline", () => {
    const [own, foreign] = [
      primaryNode(),
      replicaNode("foreign", { role: "primary", timeline: 9, systemIdentifier: "8" })
    ]
    assert.strictEqual(nameOf(primaryOf([own, foreign], own)), "primary")
    assert.strictEqual(nameOf(primaryOf([own.down(), foreign], own)), "primary")
  })
})

const whyExcluded = (
  node: MonitoredNode,
  fields: {
    readonly primary?: MonitoredNode
    readonly positions?: Positions
    readonly ejectedAt?: number
    readonly now?: number
  } = {}
) =>
  excluded(node, {
    primary: fields.primary ?? primaryNode(),
    positions: fields.positions ?? new Positions(),
    now: fields.now ?? 0,
    maxLagMillis: 1_000,
    maxLagBytes: 500,
    ejectedAt: fields.ejectedAt ?? Number.NEGATIVE_INFINITY
  })

describe("a replica", () => {
  it("serves reads when it is a standby of the primary's history", () => {
    assert.isUndefined(whyExcluded(replicaNode()))
  })

  it("serves none before it was seen, while it is down and when it is a primary", () => {
    assert.strictEqual(whyExcluded(new FakeNode("new")), "not seen yet")
    assert.strictEqual(whyExcluded(replicaNode().down()), "down")
    assert.strictEqual(whyExcluded(replicaNode("other", { role: "primary" })), "not a standby")
  })

  it("serves none as a copy of another cluster", () => {
    assert.strictEqual(whyExcluded(replicaNode("foreign", { systemIdentifier: "8" })), "another cluster")
  })

  it("serves none on an older timeline, whether it streams from an old primary, or waits, or hides what it does", () => {
    const primary = primaryNode({ timeline: 2 })
    for (const streaming of [true, false, undefined]) {
      assert.strictEqual(whyExcluded(replicaNode("stale", { streaming }), { primary }), "on an older timeline")
    }
    assert.isUndefined(whyExcluded(replicaNode("follower", { timeline: 2 }), { primary }))
  })

  it("is held against what the primary was last known to be while that is down", () => {
    const primary = primaryNode({ timeline: 2 }).down()
    assert.strictEqual(whyExcluded(replicaNode("stale"), { primary }), "on an older timeline")
    assert.isUndefined(whyExcluded(replicaNode("follower", { timeline: 2 }), { primary }))
  })

  it("serves none after a failure until a sample that is newer than it", () => {
    const node = replicaNode("replica", { startedAt: 10 })
    assert.strictEqual(whyExcluded(node, { ejectedAt: 10 }), "ejected")
    assert.isUndefined(whyExcluded(node.up({ startedAt: 11 }), { ejectedAt: 10 }))
  })

  it("serves none when it is too far behind, in time or in bytes", () => {
    const positions = new Positions()
    positions.record(sample({ startedAt: 0, lsn: 100n }))
    positions.record(sample({ startedAt: 100, lsn: 200n }))
    const late = replicaNode("late", { lsn: 150n })
    assert.isUndefined(whyExcluded(late, { positions, now: 1_100 }))
    assert.strictEqual(whyExcluded(late, { positions, now: 1_101 }), "too far behind")
    positions.record(sample({ startedAt: 200, lsn: 651n }))
    assert.strictEqual(whyExcluded(late, { positions, now: 201 }), "too far behind")
  })
})

describe("the positions of the primary", () => {
  it("call a replica that has everything current, however long ago the last write was", () => {
    const positions = new Positions()
    positions.record(sample({ startedAt: 0, lsn: 100n }))
    assert.deepStrictEqual(positions.lagOf(sample({ lsn: 100n }), 86_400_000), { bytes: 0n, millis: 0 })
  })

  it("measure lag from when the primary went ahead of the replica", () => {
    const positions = new Positions()
    ;[100n, 200n, 300n].forEach((lsn, index) => positions.record(sample({ startedAt: index * 100, lsn })))
    assert.deepStrictEqual(positions.lagOf(sample({ lsn: 150n }), 1_000), { bytes: 150n, millis: 900 })
  })

  it("forget an old timeline, which may have gone further than where the new one left it", () => {
    const positions = new Positions()
    positions.record(sample({ startedAt: 0, timeline: 1, lsn: 1_000n }))
    positions.record(sample({ startedAt: 100, timeline: 2, lsn: 900n }))
    positions.record(sample({ startedAt: 200, timeline: 2, lsn: 920n }))
    assert.deepStrictEqual(positions.lagOf(sample({ timeline: 2, lsn: 910n }), 300), { bytes: 10n, millis: 100 })
  })

  it("say as of when a replica has everything: the last time that the primary was where the replica is", () => {
    const positions = new Positions()
    positions.record(sample({ startedAt: 0, lsn: 100n }))
    positions.record(sample({ startedAt: 100, lsn: 100n }))
    positions.record(sample({ startedAt: 200, lsn: 200n }))
    assert.strictEqual(positions.asOf(sample({ lsn: 150n })), 100)
    assert.strictEqual(positions.asOf(sample({ lsn: 200n })), 200)
    assert.strictEqual(positions.asOf(sample({ lsn: 99n })), Number.NEGATIVE_INFINITY)
  })
})

const settings: RouterSettings = {
  level: "session",
  maxStaleness: Duration.seconds(1),
  maxLag: Duration.seconds(10),
  maxLagBytes: 1_000_000
}

/** A primary at 200, a replica that is there and one that is at 100. */
const makeTopology = () => {
  const monitored = {
    primary: primaryNode({ lsn: 200n }),
    near: replicaNode("near", { lsn: 200n }),
    far: replicaNode("far", { lsn: 100n })
  }
  const [primary, near, far] = [routed(monitored.primary), routed(monitored.near), routed(monitored.far)]
  const positions = new Positions()
  positions.record(sample({ startedAt: -500, lsn: 100n }))
  positions.record(sample({ startedAt: 0, lsn: 200n }))
  const choose = (
    session: Session,
    options: { readonly routing?: RoutingOptions; readonly random?: () => number; readonly now?: number } = {}
  ) =>
    chooseForRead(
      { nodes: [primary, near, far], positions, settings, random: options.random ?? Math.random },
      { session, routing: options.routing ?? {}, primary, now: options.now ?? 1 }
    )
  return { monitored, primary, near, far, choose }
}

const at = (lsn: bigint) => new Session({ systemIdentifier: "7", timeline: 1, lsn })

describe("a read", () => {
  it("of a session that has seen nothing goes to any healthy replica, with a connection that the sample holds for", () => {
    const { choose, far, near } = makeTopology()
    const choices = [0, 0.99].map((drawn) => choose(new Session(), { random: () => drawn }))
    assert.deepStrictEqual(new Set(choices.map(({ node }) => node)), new Set([near, far]))
    for (const { node, vouchedBy } of choices) assert.strictEqual(vouchedBy, node.sample)
  })

  it("goes only to a replica that has what its session has seen, else to the primary", () => {
    const { choose, near, primary } = makeTopology()
    for (let i = 0; i < 20; i++) assert.strictEqual(choose(at(101n)).node, near)
    assert.strictEqual(choose(at(201n)).node, primary)
  })

  it("goes to the primary while the session's last write is not placed", () => {
    const { choose, monitored, primary } = makeTopology()
    const choice = choose(afterStatement(monitored.primary, 1))
    assert.strictEqual(choice.node, primary)
    assert.strictEqual(choice.reason, "the session's last statement is not placed yet")
  })

  it("goes to the replica that was read last while that is not placed", () => {
    const { choose, far, monitored } = makeTopology()
    const choice = choose(afterStatement(monitored.far, 1))
    assert.strictEqual(choice.node, far)
    assert.strictEqual(choice.vouchedBy, far.sample)
  })

  it("does not go back to a replica that was read with less in mind and is behind what the session has seen", () => {
    const { choose, monitored, primary } = makeTopology()
    assert.strictEqual(choose(afterStatement(monitored.far, 1, at(150n))).node, primary)
  })

  it("goes to the primary while reads on two replicas are not placed", () => {
    const { choose, monitored, primary } = makeTopology()
    assert.strictEqual(choose(afterStatement(monitored.near, 1, afterStatement(monitored.far, 1))).node, primary)
  })

  it("goes to the primary when it asks for everything or when no replica is healthy", () => {
    const { choose, monitored, primary } = makeTopology()
    assert.strictEqual(choose(new Session(), { routing: { level: "strong" } }).node, primary)
    monitored.near.down()
    monitored.far.down()
    assert.strictEqual(choose(new Session()).node, primary)
    assert.strictEqual(choose(new Session(), { routing: { level: "eventual" } }).node, primary)
  })

  it("that asks for less goes to a replica whatever its session has seen, and moves the floor all the same", () => {
    const { choose, monitored, primary } = makeTopology()
    const session = afterStatement(monitored.primary, 0, at(150n))
    assert.notStrictEqual(choose(session, { routing: { level: "eventual" } }).node, primary)
    assert.strictEqual(session.floor?.lsn, 200n)
  })

  it("within a staleness goes to a replica that certainly has everything as of then, else to the primary", () => {
    const { choose, near, primary } = makeTopology()
    const within = (staleness: number, now: number) =>
      choose(new Session(), { routing: { level: "bounded", staleness }, now }).node
    for (let i = 0; i < 20; i++) assert.strictEqual(within(400, 100), near)
    assert.strictEqual(within(400, 401), primary)
  })

  it("goes to the less loaded of two drawn at random", () => {
    const { choose, far, near } = makeTopology()
    near.outstanding = 3
    for (let i = 0; i < 20; i++) assert.strictEqual(choose(new Session()).node, far)
    far.outstanding = 4
    for (let i = 0; i < 20; i++) assert.strictEqual(choose(new Session()).node, near)
  })

  it.effect("goes to a replica that was slow again after a while", () =>
    Effect.gen(function* () {
      let now = 0
      const node = routed(replicaNode(), () => now)
      const idle = routed(replicaNode(), () => now)
      yield* node.track(
        new Session(),
        Effect.sync(() => (now += 500))
      )
      assert.isAbove(node.load(now), idle.load(now))
      yield* idle.track(
        new Session(),
        Effect.sync(() => (now += 10_000))
      )
      assert.isBelow(node.load(now), idle.load(now))
    })
  )
})

describe("a token", () => {
  const floor = FastCheck.record({
    systemIdentifier: FastCheck.string({ minLength: 1 }),
    timeline: FastCheck.integer({ min: 1 }),
    lsn: FastCheck.bigInt({ min: 0n, max: 2n ** 64n - 1n })
  })

  it("says what the session has seen, in text that is safe in a URL and a cookie", () => {
    FastCheck.assert(
      FastCheck.property(floor, (position) => {
        const text = Token.encode(position)
        assert.match(text, /^[\w-]+$/)
        assert.deepStrictEqual(Option.getOrThrow(Token.decode(text)), position)
      })
    )
  })

  it("is not read from anything else, which never throws", () => {
    const text = Token.encode({ systemIdentifier: "7", timeline: 1, lsn: 5n })
    for (const other of ["", "now", text.slice(1), text.slice(0, -4), Token.asOfReceipt, "e30", "bnVsbA"]) {
      assert.isTrue(Option.isNone(Token.decode(other)), other)
    }
    FastCheck.assert(
      FastCheck.property(FastCheck.oneof(FastCheck.string(), FastCheck.base64String()), (other) => {
        assert.isTrue(Option.isNone(Token.decode(other)))
      })
    )
  })
})
