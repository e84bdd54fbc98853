/**
 * The name of a backup: the UTC second it was started in, and a short random id for a second that has two.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

const pattern = /^\d{8}T\d{6}Z-[0-9a-f]{6}$/

/** Whether a name could be a label, and so is safe to use as the name of a directory. */
export const isLabel = (name: string): boolean => pattern.test(name)

/** A label such as `20251122T173412Z-0f3a9c`, different from those that are taken. */
export const make = (at: DateTime.Utc, taken: ReadonlySet<string>): Effect.Effect<string> =>
  Effect.map(Random.nextIntBetween(0, 0x1000000), (id) => {
    const time = DateTime.formatIso(at).replace(/\.\d+/, "").replaceAll(/[-:]/g, "")
    return `${time}-${id.toString(16).padStart(6, "0")}`
  }).pipe(Effect.repeat({ while: (label) => taken.has(label) }))
