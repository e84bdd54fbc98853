/**
 * Durations as they are written on the command line; `Argv` has checked their form.
 */
import * as Duration from "effect/Duration"

const unitMillis: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 }

/** `500ms`, `10s`, `1.5 min`. */
export const fromText = (text: string): Duration.Duration => {
  const match = /^(\d+(?:\.\d+)?) ?([a-z]+)$/.exec(text)
  return Duration.millis(Number(match?.[1] ?? 0) * (unitMillis[match?.[2] ?? "ms"] ?? 1))
}
