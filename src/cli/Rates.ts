/**
 * Rates as they are written on the command line; `Argv` has checked their form.
 */

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3600 }

/** `500/s`, `90/min`, as events per second. */
export const fromText = (text: string): number => {
  const match = /^(\d+(?:\.\d+)?) ?\/ ?([a-z]+)$/.exec(text)
  return Number(match?.[1] ?? 0) / (unitSeconds[match?.[2] ?? "s"] ?? 1)
}
