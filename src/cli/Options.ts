/**
 * The `@effect/cli` options and arguments of a definition.
 */
import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import type * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { ArgumentSpec, OptionSpec } from "./Spec.ts"
import * as standard from "./specs/standardOptions.ts"

const described = <A>(options: Options.Options<A>, spec: OptionSpec): Options.Options<A> => {
  const withText = Options.withDescription(options, spec.description)
  return spec.alias === undefined ? withText : Options.withAlias(withText, spec.alias)
}

/** A switch. */
export const flag = (spec: OptionSpec): Options.Options<boolean> => described(Options.boolean(spec.name), spec)

/** A text that may be left out. */
export const text = (spec: OptionSpec): Options.Options<Option.Option<string>> =>
  Options.optional(described(Options.text(spec.name), spec))

/** Any number of texts. */
export const texts = (spec: OptionSpec): Options.Options<ReadonlyArray<string>> =>
  Options.repeated(described(Options.text(spec.name), spec))

/** A whole number that may be left out. */
export const integer = (spec: OptionSpec): Options.Options<Option.Option<number>> =>
  Options.optional(described(Options.integer(spec.name), spec))

/** One of the definition's choices, the default if left out. */
export const choice = <A extends string>(
  spec: OptionSpec & { readonly choices: ReadonlyArray<A>; readonly default: NoInfer<A> }
): Options.Options<A> => Options.withDefault(described(Options.choice(spec.name, spec.choices), spec), spec.default)

/** A secret that may be left out. */
const secret = (spec: OptionSpec): Options.Options<Option.Option<Redacted.Redacted>> =>
  Options.optional(described(Options.redacted(spec.name), spec))

/** Any number of secrets. Repeated, `Options.redacted` refuses the value that it made itself. */
const secrets = (spec: OptionSpec): Options.Options<ReadonlyArray<Redacted.Redacted>> =>
  Options.map(texts(spec), (values) => values.map((value) => Redacted.make(value)))

/** An argument that must be given. */
export const argument = (spec: ArgumentSpec): Args.Args<string> =>
  Args.withDescription(Args.text({ name: spec.name }), spec.description)

/** An argument that may be left out. */
export const optionalArgument = (spec: ArgumentSpec): Args.Args<Option.Option<string>> => Args.optional(argument(spec))

/** Any number of arguments. */
export const manyArguments = (spec: ArgumentSpec): Args.Args<ReadonlyArray<string>> => Args.repeated(argument(spec))

/** What every command has. */
export const output = {
  config: text(standard.output.config),
  json: flag(standard.output.json),
  quiet: flag(standard.output.quiet),
  verbose: flag(standard.output.verbose),
  debug: flag(standard.output.debug)
}

/** Which database. */
export const database = {
  url: secret(standard.database.url),
  replicaUrl: secrets(standard.database.replicaUrl),
  embedded: flag(standard.database.embedded)
}

/**
 * What {@link database} parses to.
 *
 * @since 0.1.0
 * @category models
 */
export interface DatabaseOptions {
  readonly url: Option.Option<Redacted.Redacted>
  readonly replicaUrl: ReadonlyArray<Redacted.Redacted>
  readonly embedded: boolean
}
