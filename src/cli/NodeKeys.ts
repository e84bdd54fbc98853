/**
 * The keys of `plinth dev`: a number chooses a node, a letter does something to it.
 */
import type { Node } from "../embedded/Node.ts"
import type { EmbeddedPostgresError } from "../embedded/EmbeddedPostgresError.ts"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import { Output } from "./Output.ts"

/** What is known of a node that it does not say itself. */
interface Known {
  readonly isPaused: boolean
  readonly isFrozen: boolean
}

/** Of a server that has just been started or ended: neither survives that. */
const fresh: Known = { isPaused: false, isFrozen: false }

/** What a key asks for. */
export type Pressed = "end" | "interrupt" | "handled"

/** The keys, in one line. */
export const legend =
  "1-9 choose a node · p pause/resume replay · f freeze/thaw · k kill · s start · m promote · r rejoin · q end"

const ctrlC = "\u0003"

/** Handles keys, one after the other. */
export const make = (nodes: ReadonlyArray<Node>) =>
  Effect.gen(function* () {
    const { notice, noticeStyle } = yield* Output
    const chosen = yield* Ref.make(0)
    const known = yield* Ref.make<ReadonlyMap<Node, Known>>(new Map())

    const doing = (
      node: Node,
      what: string,
      effect: Effect.Effect<void, EmbeddedPostgresError>,
      state: Known
    ): Effect.Effect<void> =>
      effect.pipe(
        Effect.zipRight(Ref.update(known, (states) => new Map([...states, [node, state]]))),
        Effect.zipRight(notice(`${noticeStyle.bold(node.name)} ${what}`)),
        // The cluster goes on, whatever one node could not do.
        Effect.catchAll((error) => notice(`${noticeStyle.bad("Error:")} ${error.message}`))
      )

    const choose = (index: number) => {
      const node = nodes[index]
      return node === undefined
        ? notice(`There is no node ${index + 1}.`)
        : Effect.zipRight(Ref.set(chosen, index), notice(`${noticeStyle.bold(node.name)} is chosen`))
    }

    const onNode = (key: string, node: Node, state: Known): Effect.Effect<void> => {
      switch (key) {
        case "p":
          return state.isPaused
            ? doing(node, "replays again", node.resume, { ...state, isPaused: false })
            : doing(node, "has stopped replaying", node.pause, { ...state, isPaused: true })
        case "f":
          return state.isFrozen
            ? doing(node, "is thawed", node.thaw, { ...state, isFrozen: false })
            : doing(node, "is frozen", node.freeze, { ...state, isFrozen: true })
        case "k":
          return doing(node, "is killed", node.kill, fresh)
        case "s":
          return doing(node, "runs", node.start, fresh)
        case "m":
          return doing(node, "takes writes", node.promote, fresh)
        case "r":
          return doing(node, "follows the node that takes writes", node.rejoin, fresh)
        default:
          return Effect.void
      }
    }

    return (key: string): Effect.Effect<Pressed> => {
      if (key === "q") return Effect.succeed("end")
      if (key === ctrlC) return Effect.succeed("interrupt")
      if (/^[1-9]$/.test(key)) return Effect.as(choose(Number(key) - 1), "handled")
      return Effect.gen(function* () {
        const node = nodes[yield* Ref.get(chosen)]
        const states = yield* Ref.get(known)
        if (node !== undefined) yield* onNode(key, node, states.get(node) ?? fresh)
        return "handled" as const
      })
    }
  })
