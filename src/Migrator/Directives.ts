/**
 * The directives of a migration file: `-- plinth: lock-timeout=5s` in the comments at its head.
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as SqlText from "../SqlText.ts"

/** A lint rule that the file waives, and why. */
export interface Allowance {
  readonly rule: string
  readonly reason: string
}

/** What a file says about how it wants to be run. */
export interface Directives {
  /** Every statement by itself and none in a transaction with another. */
  readonly noTransaction: boolean
  readonly lockTimeout: Duration.Duration | undefined
  readonly statementTimeout: Duration.Duration | undefined
  readonly allow: ReadonlyArray<Allowance>
  /** Ids that have to be applied before. */
  readonly depends: ReadonlyArray<string>
  /** The environments it is for; empty is every one. */
  readonly environments: ReadonlyArray<string>
}

/** A directive that cannot be understood, with its offset and what may be meant. */
export interface DirectiveFault {
  readonly offset: number
  readonly description: string
  readonly advice: string
}

/** A file that says nothing. */
export const none: Directives = {
  noTransaction: false,
  lockTimeout: undefined,
  statementTimeout: undefined,
  allow: [],
  depends: [],
  environments: []
}

const keys = ["no-transaction", "lock-timeout", "statement-timeout", "allow", "depends", "environment"] as const

const isKey = (text: string): text is (typeof keys)[number] => keys.some((key) => key === text)

/** A comment that is a directive. */
const directive = /^--[ \t]*plinth:(.*)$/

/** The comment that opens the down section; the only one with a place outside of the head. */
const opensDown = /^--[ \t]*plinth:[ \t]*down[ \t]*$/

/** Where the down section begins, if there is one: the offset of its comment. */
export const downSection = (text: string): number | undefined =>
  SqlText.tokenize(text).find(({ end, kind, start }) => kind === "comment" && opensDown.test(text.slice(start, end)))
    ?.start

/**
 * Reads the directives among the comments at the head of a script, on top of `inherited`. One further down would look as
 * if it belonged to the statement after it, and is an error.
 */
export const parse = (text: string, inherited: Directives = none): Either.Either<Directives, DirectiveFault> =>
  Either.gen(function* () {
    let directives = inherited
    let inHead = true
    for (const { end, kind, start } of SqlText.tokenize(text)) {
      const comment = text.slice(start, end)
      const content = kind === "comment" ? directive.exec(comment)?.[1]?.trim() : undefined
      if (kind !== "comment") inHead = false
      if (content === undefined || opensDown.test(comment)) continue
      const parsed = inHead ? parseLine(directives, content) : Either.left(misplaced(content))
      directives = yield* Either.mapLeft(parsed, (fault) => ({ ...fault, offset: start }))
    }
    return directives
  })

type Fault = Omit<DirectiveFault, "offset">

const misplaced = (content: string): Fault => ({
  description: `the directive ${JSON.stringify(content)} stands behind a statement`,
  advice: "move it to the comments at the head of the file; it holds for the whole file"
})

/** Several directives on a line are separated by spaces; `allow` takes the rest of the line as its reason. */
const parseLine = (before: Directives, content: string): Either.Either<Directives, Fault> =>
  Either.gen(function* () {
    let directives = before
    let rest = content
    while (rest !== "") {
      const word = rest.split(/\s+/, 1)[0] ?? rest
      const [key = word, value] = splitOnce(word)
      if (key === "allow") {
        const reason = rest.slice(word.length).trim()
        return { ...directives, allow: [...directives.allow, yield* allowance(value, reason)] }
      }
      directives = yield* set(directives, key, value)
      rest = rest.slice(word.length).trim()
    }
    return directives
  })

const splitOnce = (word: string): readonly [string, string | undefined] => {
  const at = word.indexOf("=")
  return at === -1 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)]
}

const set = (directives: Directives, key: string, value: string | undefined): Either.Either<Directives, Fault> => {
  if (!isKey(key)) return Either.left(unknown(key))
  switch (key) {
    case "no-transaction":
      return value === undefined
        ? Either.right({ ...directives, noTransaction: true })
        : Either.left({ description: "no-transaction takes no value", advice: "write -- plinth: no-transaction" })
    case "lock-timeout":
      return Either.map(duration(key, value), (lockTimeout) => ({ ...directives, lockTimeout }))
    case "statement-timeout":
      return Either.map(duration(key, value), (statementTimeout) => ({ ...directives, statementTimeout }))
    case "depends":
      return Either.map(list(key, value), (ids) => ({ ...directives, depends: [...directives.depends, ...ids] }))
    case "environment":
      return Either.map(list(key, value), (names) => ({
        ...directives,
        environments: [...directives.environments, ...names]
      }))
    case "allow":
      return Either.map(allowance(value, ""), (allowed) => ({ ...directives, allow: [...directives.allow, allowed] }))
  }
}

const allowance = (rule: string | undefined, reason: string): Either.Either<Allowance, Fault> =>
  rule === undefined || rule === "" || reason === ""
    ? Either.left({
        description: "allow needs a rule and a reason",
        advice: "write -- plinth: allow=rule-id why it is right here"
      })
    : Either.right({ rule, reason })

const list = (key: string, value: string | undefined): Either.Either<ReadonlyArray<string>, Fault> => {
  const items = (value ?? "").split(",").filter((item) => item !== "")
  return items.length > 0
    ? Either.right(items)
    : Either.left({ description: `${key} has no value`, advice: `write -- plinth: ${key}=one,two` })
}

const millisecondsOf: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000 }

/** PostgreSQL's own notation of a time: a whole number and a unit; 0 is no limit. */
const duration = (key: string, value: string | undefined): Either.Either<Duration.Duration, Fault> => {
  const [, digits, unit] = /^(\d+)(ms|s|min|h)?$/.exec(value ?? "") ?? []
  const factor = unit === undefined ? undefined : millisecondsOf[unit]
  if (digits === "0") return Either.right(Duration.zero)
  return digits !== undefined && factor !== undefined
    ? Either.right(Duration.millis(Number(digits) * factor))
    : Either.left({
        description: `${key}=${value ?? ""} is not a time`,
        advice: `write a whole number with a unit (ms, s, min, h), as in -- plinth: ${key}=2s, or 0 for no limit`
      })
}

const unknown = (key: string): Fault => {
  const nearest = [...keys].sort((a, b) => distance(key, a) - distance(key, b))[0]
  return {
    description: `unknown directive ${JSON.stringify(key)}`,
    advice:
      nearest !== undefined && distance(key, nearest) <= Math.max(2, nearest.length / 3)
        ? `did you mean ${nearest}?`
        : `the directives are ${keys.join(", ")} and down`
  }
}

/** Levenshtein distance, one row at a time. */
const distance = (from: string, to: string): number => {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [index, character] of [...from].entries()) {
    const next = [index + 1]
    for (const [column, other] of [...to].entries()) {
      const substitution = (row[column] ?? 0) + (character === other ? 0 : 1)
      next.push(Math.min(substitution, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}
