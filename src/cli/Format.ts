/**
 * Numbers as people read them.
 */
import * as Duration from "effect/Duration"

/** `12,345`. */
export const count = (value: number): string => value.toLocaleString("en-US")

/** `1 table`, `3 tables`. */
export const plural = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`

/** `113 MB`: powers of 1024 under the names that PostgreSQL gives them. */
export const bytes = (value: number): string => {
  const units = ["bytes", "kB", "MB", "GB", "TB", "PB"]
  let scaled = value
  let unit = 0
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024
    unit++
  }
  const digits = unit === 0 || scaled >= 100 ? 0 : 1
  return `${scaled.toFixed(digits)} ${units[unit]}`
}

/** `340 ms`, `2.4 s`, `3 min 12 s`. */
export const duration = (value: Duration.Duration): string => {
  const millis = Duration.toMillis(value)
  if (millis < 1000) return `${Math.round(millis)} ms`
  if (millis < 60_000) return `${(millis / 1000).toFixed(1)} s`
  const seconds = Math.round(millis / 1000)
  return seconds < 3600
    ? `${Math.floor(seconds / 60)} min ${seconds % 60} s`
    : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
}
