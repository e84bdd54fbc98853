/**
 * Random sessions as values: what a session will do follows from the seed alone.
 */
import type { PCGRandom } from "effect/Utils"

export type Step =
  | { readonly _tag: "Read"; readonly key: number; readonly patience?: number | undefined }
  | { readonly _tag: "Stream"; readonly key: number }
  /** A read that asks for less than the session has seen. */
  | { readonly _tag: "StaleRead"; readonly key: number }
  | { readonly _tag: "Increment"; readonly key: number; readonly patience?: number | undefined }
  /** A transaction that reads, writes and reads again. */
  | {
      readonly _tag: "Update"
      readonly key: number
      readonly end: "commit" | "rollback"
      readonly patience?: number | undefined
    }
  /** A read-only transaction. */
  | { readonly _tag: "Report"; readonly keys: readonly [number, number] }
  /** Two fibers of the session. */
  | { readonly _tag: "Both"; readonly left: ReadonlyArray<Step>; readonly right: ReadonlyArray<Step> }
  /** The session goes on in the other client, by a token. */
  | { readonly _tag: "Move" }
  /** Milliseconds. */
  | { readonly _tag: "Rest"; readonly millis: number }

/** How many keys there are; few, so that sessions meet. */
export const keys = 6

/** What a session mostly does. */
const characters = [
  { name: "reader", read: 70, write: 2 },
  { name: "writer", read: 25, write: 45 },
  { name: "mixed", read: 50, write: 15 }
] as const

/** Shares of everything else, as weights beside `read` and `write`. */
const others = { staleRead: 4, stream: 4, update: 5, report: 6, both: 6, move: 4 } as const

export const planSession = (random: PCGRandom): ReadonlyArray<Step> => {
  const character = characters[random.integer(characters.length)] ?? characters[0]
  // A session returns to few keys, else it would seldom read what it has written.
  const own = [random.integer(keys), random.integer(keys)] as const
  const steps = 10 + random.integer(30)
  // Some sessions hurry, others leave the monitor time to place what they did.
  const rest = [0, 10, 60][random.integer(3)] ?? 0
  return Array.from({ length: steps }, (): ReadonlyArray<Step> => {
    const step = planStep(random, character, own)
    return rest === 0 ? [step] : [step, { _tag: "Rest", millis: random.integer(2 * rest) }]
  }).flat()
}

const planStep = (
  random: PCGRandom,
  weights: { readonly read: number; readonly write: number },
  own: readonly [number, number]
): Step => {
  const key = random.integer(4) === 0 ? random.integer(keys) : (own[random.integer(2)] ?? 0)
  const patience = random.integer(12) === 0 ? 1 + random.integer(8) : undefined
  const choices: ReadonlyArray<readonly [number, () => Step]> = [
    [weights.read, () => ({ _tag: "Read", key, patience })],
    [weights.write, () => ({ _tag: "Increment", key, patience })],
    [others.staleRead, () => ({ _tag: "StaleRead", key })],
    [others.stream, () => ({ _tag: "Stream", key })],
    [others.update, () => ({ _tag: "Update", key, end: random.integer(4) === 0 ? "rollback" : "commit", patience })],
    [others.report, () => ({ _tag: "Report", keys: own })],
    [others.both, () => ({ _tag: "Both", left: planBranch(random, own), right: planBranch(random, own) })],
    [others.move, () => ({ _tag: "Move" })]
  ]
  let draw = random.integer(choices.reduce((sum, [weight]) => sum + weight, 0))
  for (const [weight, step] of choices) {
    if (draw < weight) return step()
    draw -= weight
  }
  return { _tag: "Read", key }
}

/** What one of two fibers does. */
const planBranch = (random: PCGRandom, own: readonly [number, number]): ReadonlyArray<Step> =>
  Array.from({ length: 2 + random.integer(4) }, (): Step => {
    const key = own[random.integer(2)] ?? 0
    return random.integer(5) === 0 ? { _tag: "Increment", key } : { _tag: "Read", key }
  })
