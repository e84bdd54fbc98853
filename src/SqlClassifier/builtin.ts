/**
 * The catalogue without a server: what PostgreSQL 14 to 18 bring along. Relations are taken for tables, and every function
 * that PostgreSQL does not bring along is unknown.
 */
import * as builtinNames from "./builtinNames.ts"
import { type Catalog, harmless, NameTable } from "./Catalog.ts"
import { type CatalogOptions, isAllowed, systemVerdict } from "./systemFunctions.ts"

const words = (list: string): ReadonlyArray<string> => list.trim().split(/\s+/)

export const builtinWith = (options: CatalogOptions): Catalog => {
  const allow = new Set(options.allow)
  const functions = new NameTable()
  const add = (name: string, isVolatile: boolean): void =>
    functions.add("pg_catalog", name, isAllowed(allow, "pg_catalog", name) ? harmless : systemVerdict(name, isVolatile))
  for (const name of words(builtinNames.volatileFunctions)) add(name, true)
  for (const name of words(builtinNames.otherFunctions)) add(name, false)
  for (const name of words(builtinNames.types)) add(name, false)
  for (const name of allow) if (!name.includes(".")) functions.add("public", name, harmless)
  return {
    functions,
    relations: new NameTable(),
    knowsRelations: false,
    attributes: new Map(),
    operators: new Map(),
    types: new Map(),
    backslashEscapes: false
  }
}
