/**
 * What happens to the servers meanwhile: replicas that pause, lag, freeze, crash and die, and a primary that restarts.
 */
import * as Effect from "effect/Effect"
import type { PCGRandom } from "effect/Utils"
import { QueryRouter } from "effect-plinth"
import type { EmbeddedPostgres } from "effect-plinth/embedded"
import type { Client } from "./play.ts"
import type { Recorder } from "./Recorder.ts"

type Node = EmbeddedPostgres.EmbeddedPostgres["Type"]["primary"]

interface Fault {
  readonly name: string
  readonly weight: number
  readonly begin: (node: Node) => Effect.Effect<unknown, unknown>
  readonly end: (node: Node) => Effect.Effect<unknown, unknown>
  /** The longest it lasts, in milliseconds. */
  readonly lasts: number
}

const faults = (random: PCGRandom, client: Client): ReadonlyArray<Fault> => [
  { name: "pause", weight: 4, begin: (node) => node.pause, end: (node) => node.resume, lasts: 800 },
  {
    name: "delay",
    weight: 4,
    begin: (node) => node.delay(50 + random.integer(250)),
    end: (node) => node.delay(0),
    lasts: 1_200
  },
  {
    // It comes back before what it had replayed, and stays there for a while.
    name: "crash late",
    weight: 2,
    begin: (node) => Effect.zipRight(node.delay(200 + random.integer(400)), crashBackend(client, node)),
    end: (node) => node.delay(0),
    lasts: 1_200
  },
  { name: "kill", weight: 2, begin: (node) => node.kill, end: (node) => node.start, lasts: 400 },
  { name: "freeze", weight: 2, begin: (node) => node.freeze, end: (node) => node.thaw, lasts: 1_500 },
  {
    name: "crash a backend",
    weight: 2,
    begin: (node) => crashBackend(client, node),
    end: () => Effect.void,
    lasts: 300
  }
]

/** SIGKILL of one backend: the server drops all its memory, and a standby replays again from its last restart point. */
const crashBackend = ({ sql }: Client, node: Node) =>
  sql<{ pid: number; port: number }>`
    SELECT pg_catalog.pg_backend_pid() AS pid, pg_catalog.inet_server_port() AS port`.pipe(
    QueryRouter.onReplica,
    Effect.repeat({ times: 10, until: ([row]) => row?.port === node.port }),
    Effect.flatMap(([row]) =>
      row?.port === node.port ? Effect.sync(() => process.kill(row.pid, "SIGKILL")) : Effect.void
    )
  )

/** One thing after another to one replica, until interrupted; then the replica is well. */
export const trouble = (node: Node, random: PCGRandom, client: Client, recorder: Recorder): Effect.Effect<never> =>
  Effect.forever(
    Effect.suspend(() => {
      const choices = faults(random, client)
      let draw = random.integer(choices.reduce((sum, { weight }) => sum + weight, 0))
      const fault = choices.find(({ weight }) => (draw -= weight) < 0)
      if (fault === undefined) return Effect.dieMessage("no fault to choose")
      const lasts = 50 + random.integer(fault.lasts)
      const calm = 100 + random.integer(700)
      return incident(recorder, `${fault.name} ${node.name}`, fault.begin(node)).pipe(
        Effect.zipRight(Effect.sleep(lasts)),
        Effect.ensuring(incident(recorder, `end of ${fault.name} ${node.name}`, fault.end(node))),
        Effect.zipRight(Effect.sleep(calm))
      )
    })
  )

/** A power cut of the primary. */
export const restartPrimary = (node: Node, recorder: Recorder): Effect.Effect<void> =>
  Effect.zipRight(
    incident(recorder, `kill ${node.name}`, node.kill),
    Effect.uninterruptible(incident(recorder, `start ${node.name}`, node.start))
  )

/** A server that is in the middle of something else may refuse: a paused standby that has just been killed, say. */
const incident = (recorder: Recorder, text: string, action: Effect.Effect<unknown, unknown>): Effect.Effect<void> =>
  Effect.matchEffect(action, {
    onSuccess: () => Effect.sync(() => recorder.incident(text)),
    onFailure: (error) =>
      Effect.zipRight(
        Effect.sync(() => recorder.incident(`${text} failed`)),
        Effect.logDebug(text, error)
      )
  })
