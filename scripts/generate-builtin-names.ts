/**
 * Writes `src/SqlClassifier/builtinNames.ts` from running servers, one of each supported major version:
 *
 *     npx tsx scripts/generate-builtin-names.ts postgres://..14 postgres://..15 postgres://..16 postgres://..17 postgres://..18
 *
 * A name is volatile if any overload of any version is. Functions that SQL cannot call (triggers, handlers, `internal`
 * arguments) are left out.
 */
import { writeFileSync } from "node:fs"
import pg from "pg"
import { format, resolveConfig } from "prettier"

const target = new URL("../src/SqlClassifier/builtinNames.ts", import.meta.url)

const functionsSql = `
  SELECT p.proname AS name, bool_or(p.provolatile = 'v') AS volatile
  FROM pg_catalog.pg_proc p
  WHERE p.pronamespace = 'pg_catalog'::regnamespace
    AND NOT 'internal'::regtype = ANY (p.proargtypes)
    AND p.prorettype::regtype::text NOT IN ('trigger', 'event_trigger', 'internal')
    AND p.prorettype::regtype::text NOT LIKE '%_handler'
  GROUP BY 1`

const typesSql = `
  SELECT typname AS name FROM pg_catalog.pg_type
  WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typname NOT LIKE '\\_%'`

const versions: Array<string> = []
const volatile = new Set<string>()
const known = new Set<string>()
const types = new Set<string>()
for (const connectionString of process.argv.slice(2)) {
  const client = new pg.Client({ connectionString })
  await client.connect()
  versions.push((await client.query("SHOW server_version")).rows[0].server_version.split(" ")[0])
  for (const { name, volatile: isVolatile } of (await client.query(functionsSql)).rows) {
    known.add(name)
    if (isVolatile) volatile.add(name)
  }
  for (const { name } of (await client.query(typesSql)).rows) types.add(name)
  await client.end()
}
if (versions.length === 0) throw new Error("give the URL of one server of each major version")

const list = (names: Iterable<string>): string => {
  const lines: Array<string> = [""]
  for (const name of [...names].sort()) {
    const last = lines.length - 1
    if (`${lines[last]} ${name}`.length > 118) lines.push(name)
    else lines[last] = lines[last] === "" ? name : `${lines[last]} ${name}`
  }
  return lines.join("\n")
}

const source = `/**
 * The names in \`pg_catalog\` of PostgreSQL ${versions.join(", ")}, written by \`scripts/generate-builtin-names.ts\`.
 */

/** Functions of which an overload is VOLATILE in one of these versions. */
export const volatileFunctions = \`
${list(volatile)}
\`

/** All other functions. */
export const otherFunctions = \`
${list([...known].filter((name) => !volatile.has(name)))}
\`

export const types = \`
${list(types)}
\`
`
const options = await resolveConfig(target.pathname)
writeFileSync(target, await format(source, { ...options, parser: "typescript" }))
