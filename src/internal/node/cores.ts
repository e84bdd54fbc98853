/**
 * The cores of this machine.
 */
import * as Effect from "effect/Effect"
import { availableParallelism } from "node:os"

/** How many threads can run at once here. */
export const cores: Effect.Effect<number> = Effect.sync(availableParallelism)
