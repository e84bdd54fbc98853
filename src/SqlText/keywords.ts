/**
 * The keywords that shape a query, with the part each of them plays in `Walker`. Classes are those of PostgreSQL's
 * `kwlist.h`; a word that became reserved after version 14 counts as an ordinary name, which fails closed.
 */

/** What an unquoted word can be besides a keyword. */
export const wordClass = {
  /** Anything: unreserved. */
  any: 0,
  /** A column, table or type, but no function (`col_name_keyword`). */
  column: 1,
  /** A function or type, but no column, table or alias (`type_func_name_keyword`). */
  function: 2,
  /** Nothing but itself, unless after AS or a dot. */
  reserved: 3
} as const

/** What the word does where the grammar takes it for a keyword. */
export const role = {
  none: 0,
  select: 1,
  values: 2,
  table: 3,
  with: 4,
  insert: 5,
  update: 6,
  delete: 7,
  merge: 8,
  setOperation: 9,
  from: 10,
  join: 11,
  on: 12,
  using: 13,
  /** Ends a FROM clause: WHERE, GROUP, ORDER .. */
  clause: 14,
  set: 15,
  for: 16,
  into: 17,
  as: 18,
  distinct: 19,
  /** LATERAL, ONLY: before an item of a FROM clause. */
  modifier: 20,
  rows: 21,
  tablesample: 22,
  /** Its parentheses take FROM and FOR as parts of a call: `substring(a from 1 for 2)`. */
  callWithFrom: 23,
  /** Takes parentheses without being a function: `over (..)`, `grouping sets (..)`. */
  construct: 24,
  /** A value without parentheses that may stand in FROM: `current_date`. */
  value: 25,
  when: 26,
  /** `WITHIN GROUP (..)`: a GROUP that ends no FROM clause. */
  within: 27
} as const

const keywords = new Map<string, number>()

const define = (kind: number, part: number, words: string): void => {
  for (const word of words.split(" ")) keywords.set(word, kind | (part << 2))
}

define(
  wordClass.reserved,
  role.none,
  "all analyse analyze and any array asc asymmetric both case cast check collate column constraint create default " +
    "deferrable desc do else end false foreign grant in initially leading not null or placing primary references some " +
    "symmetric then to trailing true unique variadic"
)
define(
  wordClass.column,
  role.none,
  "between bigint bit boolean char character coalesce dec decimal exists float greatest grouping inout int integer " +
    "interval json json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar " +
    "json_serialize json_table json_value least merge_action national nchar none normalize nullif numeric out " +
    "precision real row setof smallint time timestamp treat varchar xmlattributes xmlconcat xmlelement xmlexists " +
    "xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable"
)
define(
  wordClass.function,
  role.none,
  "authorization binary collation concurrently cross current_schema freeze full ilike inner is isnull left like natural " +
    "notnull outer overlaps right similar verbose"
)
define(
  wordClass.any,
  role.construct,
  "by columns conflict content cube document escape filter first groups key materialized next operator over passing range " +
    "repeatable rollup second sets value varying version zone"
)
define(
  wordClass.reserved,
  role.value,
  "current_catalog current_date current_role current_time current_timestamp current_user localtime localtimestamp " +
    "session_user user"
)
define(wordClass.reserved, role.clause, "fetch group having limit offset order returning where window")
define(wordClass.reserved, role.when, "when")
define(wordClass.any, role.within, "within")
define(wordClass.reserved, role.setOperation, "except intersect union")
define(wordClass.reserved, role.modifier, "lateral only")
define(wordClass.column, role.callWithFrom, "extract overlay position substring trim")
define(wordClass.reserved, role.select, "select")
define(wordClass.column, role.values, "values")
define(wordClass.reserved, role.table, "table")
define(wordClass.reserved, role.with, "with")
define(wordClass.any, role.insert, "insert")
define(wordClass.any, role.update, "update")
define(wordClass.any, role.delete, "delete")
define(wordClass.any, role.merge, "merge")
define(wordClass.reserved, role.from, "from")
define(wordClass.function, role.join, "join")
define(wordClass.reserved, role.on, "on")
define(wordClass.reserved, role.using, "using")
define(wordClass.any, role.set, "set")
define(wordClass.reserved, role.for, "for")
define(wordClass.reserved, role.into, "into")
define(wordClass.reserved, role.as, "as")
define(wordClass.reserved, role.distinct, "distinct")
define(wordClass.any, role.rows, "rows")
define(wordClass.function, role.tablesample, "tablesample")

/** The entry of a word in lower case: its `wordClass` in the low two bits, its `role` above; 0 for an ordinary name. */
export const keyword = (word: string): number => keywords.get(word) ?? 0
export const classOf = (entry: number): number => entry & 3
export const roleOf = (entry: number): number => entry >> 2
