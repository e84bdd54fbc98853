/**
 * The truth by PostgreSQL's own grammar: what a syntax tree of libpg-query says about writes and relations. A second opinion
 * that shares no code with the classifier.
 */
import { loadModule, parseSync } from "libpg-query"
import { harmfulFunctions, harmfulWhenPlanned } from "./grammar.ts"

await loadModule()

type Json = { readonly [key: string]: unknown }
const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

export interface Truth {
  readonly writes: boolean
  /** Relations that no CTE shadows, as `name` or `schema.name`. */
  readonly relations: ReadonlySet<string>
  /** Where each statement lies, in bytes: the text between two semicolons, with the layout around it. */
  readonly spans: ReadonlyArray<{ readonly start: number; readonly end: number | undefined }>
}

/** `undefined` where PostgreSQL finds a syntax error. */
export const truthOf = (sql: string): Truth | undefined => {
  let parsed: unknown
  try {
    parsed = parseSync(sql)
  } catch {
    return undefined
  }
  const reader = new Reader()
  const statements = isJson(parsed) && Array.isArray(parsed["stmts"]) ? parsed["stmts"].filter(isJson) : []
  for (const { stmt } of statements) if (isJson(stmt)) reader.statement(stmt)
  const spans = statements.map(({ stmt_len, stmt_location }) => {
    const start = typeof stmt_location === "number" ? stmt_location : 0
    return { start, end: typeof stmt_len === "number" ? start + stmt_len : undefined }
  })
  return { writes: reader.writes, relations: reader.relations, spans }
}

const modifying = new Set(["InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"])

class Reader {
  writes = false
  readonly relations = new Set<string>()
  #planned = false

  statement(node: Json): void {
    const [kind, body] = Object.entries(node)[0] ?? ["", undefined]
    if (kind === "SelectStmt" || kind === "VariableShowStmt") this.#visit(node, [])
    else if (kind === "ExplainStmt" && isJson(body)) {
      this.#planned = !explainsAndRuns(body)
      this.#visit(body["query"], [])
      this.#planned = false
    } else if (kind === "CopyStmt" && isJson(body)) {
      if (body["is_from"] === true || body["is_program"] === true || body["filename"] !== undefined) this.writes = true
      if (isJson(body["relation"])) this.#relation(body["relation"], [])
      this.#visit(body["query"], [])
    } else {
      this.writes = true
      this.#visit(node, [])
    }
  }

  #harm(): void {
    if (!this.#planned) this.writes = true
  }

  #visit(value: unknown, scope: ReadonlyArray<string>): void {
    if (Array.isArray(value)) for (const item of value) this.#visit(item, scope)
    if (!isJson(value)) return
    for (const [key, child] of Object.entries(value)) {
      if (key === "withClause") continue
      const inner = isJson(child) ? this.#scope(child, scope) : scope
      if (modifying.has(key)) this.#harm()
      if (key === "intoClause" || key === "lockingClause") {
        if (key === "intoClause" || (Array.isArray(child) && child.length > 0)) this.#harm()
        continue
      }
      if (key === "FuncCall" && isJson(child)) this.#function(child)
      if (key === "RangeVar" && isJson(child)) this.#relation(child, scope)
      else if (key === "relation" && isJson(child) && child["relname"] !== undefined) this.#relation(child, [])
      else this.#visit(child, inner)
    }
  }

  /** The CTEs of a statement, visited; a later one that an earlier one names counts as a table, as in the classifier. */
  #scope(statement: Json, outer: ReadonlyArray<string>): ReadonlyArray<string> {
    const clause = statement["withClause"]
    if (!isJson(clause) || !Array.isArray(clause["ctes"])) return outer
    let scope = outer
    for (const cte of clause["ctes"]) {
      const expression: unknown = isJson(cte) ? cte["CommonTableExpr"] : undefined
      if (!isJson(expression) || typeof expression["ctename"] !== "string") continue
      const extended = [...scope, expression["ctename"]]
      this.#visit(expression["ctequery"], clause["recursive"] === true ? extended : scope)
      scope = extended
    }
    return scope
  }

  #relation(range: Json, scope: ReadonlyArray<string>): void {
    const { relname, schemaname } = range
    if (typeof relname !== "string") return
    if (typeof schemaname === "string") this.relations.add(`${schemaname}.${relname}`)
    else if (!scope.includes(relname)) this.relations.add(relname)
  }

  #function(call: Json): void {
    const path = Array.isArray(call["funcname"]) ? call["funcname"] : []
    const last: unknown = path.at(-1)
    const name = isJson(last) && isJson(last["String"]) ? last["String"]["sval"] : undefined
    if (typeof name !== "string") return
    if (harmfulFunctions.includes(name)) this.#harm()
    if (harmfulWhenPlanned.includes(name)) this.writes = true
  }
}

const explainsAndRuns = (explain: Json): boolean => {
  const options = Array.isArray(explain["options"]) ? explain["options"] : []
  // The last one of several counts for the server; the classifier takes any.
  return options.some((option) => {
    const element: unknown = isJson(option) ? option["DefElem"] : undefined
    if (!isJson(element) || element["defname"] !== "analyze") return false
    return !/"(?:off|false)"|"boolval":\{\}/.test(JSON.stringify(element["arg"] ?? null))
  })
}
