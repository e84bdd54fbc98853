/**
 * The verdicts of the functions in `pg_catalog`: their volatility, corrected where it misleads.
 */
import { harmless, type Verdict } from "./Catalog.ts"
import { harmfulFunctions, harmlessFunctions } from "./exceptions.ts"

/** The options of a catalogue. */
export interface CatalogOptions {
  /**
   * Own functions that are VOLATILE but change nothing, as `name` or `schema.name`; whatever is built upon them is then
   * judged accordingly.
   *
   * @default []
   */
  readonly allow?: ReadonlyArray<string> | undefined
}

export const isAllowed = (allow: ReadonlySet<string>, schema: string, name: string): boolean =>
  allow.has(name) || allow.has(`${schema}.${name}`)

export const volatile: Verdict = { harm: "run", why: "is volatile" }

export const systemVerdict = (name: string, isVolatile: boolean): Verdict => {
  const why = harmfulFunctions.get(name)
  if (why !== undefined) return { harm: "plan", why }
  return isVolatile && !harmlessFunctions.has(name) ? volatile : harmless
}
