/**
 * What an option is: its documentation, variables, defaults, and how text and values become it. One value per option
 * serves parsing, `plinth config` and the documentation.
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import type { Profile } from "./profile.ts"
import { didYouMean } from "./suggest.ts"

/** One option. `A` is what it becomes, `I` what a program may give. */
export interface Definition<A, I = A> {
  readonly doc: string
  /** The variable of Plinth, which comes before libpq's. */
  readonly variable?: string | undefined
  /** libpq's own name of it in URLs and service files, and libpq's variable. */
  readonly libpq?: { readonly keyword: string; readonly variable?: string | undefined } | undefined
  readonly secret: boolean
  readonly defaultOf: (profile: Profile) => A
  readonly fromInput: (input: I) => Either.Either<A, string>
  readonly fromText: (text: string) => Either.Either<A, string>
  /** Where libpq reads the same text differently (`connect_timeout=5` is in seconds). */
  readonly fromLibpq?: ((text: string) => Either.Either<A, string>) | undefined
  /** For people. A method, so that definitions of several types can be listed: each shows only its own values. */
  show(value: A): string
}

/** What every kind of option is described by. */
export interface Description<A> {
  readonly doc: string
  readonly variable?: string | undefined
  readonly libpq?: { readonly keyword: string; readonly variable?: string | undefined } | undefined
  /** One for all profiles, or one for each. */
  readonly default: A | ((profile: Profile) => A)
}

const common = <A>(description: Description<A>) => {
  const given = description.default
  return {
    doc: description.doc,
    variable: description.variable,
    libpq: description.libpq,
    secret: false,
    defaultOf: (profile: Profile): A => (isPerProfile(given) ? given(profile) : given)
  }
}

const isPerProfile = <A>(given: A | ((profile: Profile) => A)): given is (profile: Profile) => A =>
  typeof given === "function"

/** A default for each profile. */
export const perProfile =
  <A>(defaults: { readonly [P in Profile]: A }) =>
  (profile: Profile): A =>
    defaults[profile]

const unset = "(not set)"

/** Text without restriction; `undefined` is "not set". */
export const text = (description: Description<string | undefined>): Definition<string | undefined, string> => ({
  ...common(description),
  fromInput: (input) =>
    input.includes("\0")
      ? Either.left("it contains a zero byte, which PostgreSQL cannot be sent")
      : Either.right(input),
  fromText: Either.right,
  show: (value) => value ?? unset
})

/** A whole number within bounds. */
export const integer = (
  description: Description<number> & { readonly min: number; readonly max?: number | undefined }
): Definition<number> => {
  const { max = Number.MAX_SAFE_INTEGER, min } = description
  const bounds = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`
  const fromInput = (input: number): Either.Either<number, string> =>
    Number.isInteger(input) && input >= min && input <= max
      ? Either.right(input)
      : Either.left(`${input} is not a whole number of ${bounds}`)
  return {
    ...common(description),
    fromInput,
    fromText: (raw) =>
      /^\s*[+-]?\d+\s*$/.test(raw)
        ? fromInput(Number(raw))
        : Either.left(`${JSON.stringify(raw)} is not a whole number of ${bounds}`),
    show: String
  }
}

/** Units of PostgreSQL's own memory settings: powers of 1024. */
const unitBytes: Readonly<Record<string, number>> = { b: 1, kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30, tb: 2 ** 40 }

/** A size in bytes; text may say `16 MB`. */
export const bytes = (description: Description<number>): Definition<number> => {
  const fromInput = (input: number): Either.Either<number, string> =>
    Number.isSafeInteger(input) && input >= 0 ? Either.right(input) : Either.left(`${input} is not a size in bytes`)
  return {
    ...common(description),
    fromInput,
    fromText: (raw) => {
      const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?b)?\s*$/i.exec(raw)
      return match === null
        ? Either.left(`${JSON.stringify(raw)} is not a size such as 16 MB`)
        : fromInput(Math.round(Number(match[1]) * (unitBytes[(match[2] ?? "b").toLowerCase()] ?? 1)))
    },
    show: (value) => `${value} bytes`
  }
}

const unitNames: Readonly<Record<string, Duration.Unit>> = {
  ms: "millis",
  s: "seconds",
  sec: "seconds",
  min: "minutes",
  m: "minutes",
  h: "hours",
  d: "days"
}

const durationFromText = (raw: string): Either.Either<Duration.Duration, string> => {
  if (raw.trim().toLowerCase() === "infinity") return Either.right(Duration.infinity)
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(raw)
  const bad = `${JSON.stringify(raw)} is not a duration with a unit, such as 500 ms or 5 seconds`
  if (match === null) return Either.left(bad)
  const unit = (match[2] ?? "").toLowerCase()
  const decoded = Duration.decodeUnknown(`${match[1]} ${unitNames[unit] ?? unit}`)
  return Either.fromOption(decoded, () => bad)
}

const durationWithin =
  (min: Duration.Duration) =>
  (input: Duration.DurationInput): Either.Either<Duration.Duration, string> => {
    if (typeof input === "number" && input < 0) return Either.left(`${input} is negative`)
    const decoded = Duration.decodeUnknown(input)
    if (decoded._tag === "None") return Either.left(`${JSON.stringify(input)} is not a duration`)
    return Duration.lessThan(decoded.value, min)
      ? Either.left(`${Duration.format(decoded.value)} is less than ${Duration.format(min)}`)
      : Either.right(decoded.value)
  }

type DurationDescription<A> = Description<A> & {
  readonly min?: Duration.DurationInput | undefined
  /** libpq takes whole seconds. */
  readonly libpqSeconds?: boolean | undefined
}

/** A duration; text must name its unit. */
export const duration = (
  description: DurationDescription<Duration.DurationInput>
): Definition<Duration.Duration, Duration.DurationInput> => {
  const base = common(description)
  const fromInput = durationWithin(Duration.decode(description.min ?? 0))
  return {
    ...base,
    defaultOf: (profile) => Duration.decode(base.defaultOf(profile)),
    fromInput,
    fromText: (raw) => Either.flatMap(durationFromText(raw), fromInput),
    fromLibpq: (raw) =>
      /^\s*\d+\s*$/.test(raw)
        ? fromInput(Duration.seconds(Number(raw)))
        : Either.left(`${JSON.stringify(raw)} is not a whole number of seconds, which libpq counts this in`),
    show: Duration.format
  }
}

/** A duration that may be left out: then there is no limit. */
export const optionalDuration = (
  description: DurationDescription<undefined>
): Definition<Duration.Duration | undefined, Duration.DurationInput> => {
  const fromInput = durationWithin(Duration.decode(description.min ?? 0))
  return {
    ...common<Duration.Duration | undefined>(description),
    fromInput,
    fromText: (raw) => Either.flatMap(durationFromText(raw), fromInput),
    show: (value) => (value === undefined ? unset : Duration.format(value))
  }
}

/** One of a few words. */
export const literal = <const L extends string>(
  description: Description<L> & { readonly values: ReadonlyArray<L> }
): Definition<L> => {
  const fromText = (raw: string): Either.Either<L, string> => {
    const found = description.values.find((value) => value === raw.trim().toLowerCase())
    return found === undefined
      ? Either.left(
          `${JSON.stringify(raw)} is none of ${description.values.join(", ")}${didYouMean(raw, description.values)}`
        )
      : Either.right(found)
  }
  return { ...common(description), fromInput: fromText, fromText, show: String }
}

/** Yes or no, in the words PostgreSQL takes for it. */
export const flag = (description: Description<boolean>): Definition<boolean> => ({
  ...common(description),
  fromInput: (input) =>
    typeof input === "boolean" ? Either.right(input) : Either.left(`${String(input)} is neither true nor false`),
  fromText: (raw) => {
    const word = raw.trim().toLowerCase()
    if (["true", "on", "yes", "1"].includes(word)) return Either.right(true)
    if (["false", "off", "no", "0"].includes(word)) return Either.right(false)
    return Either.left(`${JSON.stringify(raw)} is neither true nor false`)
  },
  show: String
})
