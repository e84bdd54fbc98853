/**
 * The space that is left on the file system of a path.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import { statfs } from "node:fs/promises"

/** Bytes that a user without privileges may still write; `none` where the system does not tell. */
export const availableBytes = (path: string): Effect.Effect<Option.Option<number>> =>
  Effect.tryPromise(() => statfs(path)).pipe(
    Effect.map((stats) => stats.bavail * stats.bsize),
    Effect.option
  )
