/**
 * What a command is, as plain data: help, completions, the manual, "did you mean" and the `@effect/cli` options are all
 * derived from it. Nothing here imports a library, so that `--help` and usage errors cost no more than Node itself.
 */

/** An option, without its dashes. One that has no `value` is a switch. */
export interface OptionSpec {
  readonly name: string
  readonly alias?: string
  /** What its value is; help shows it as the placeholder. Numbers, durations and rates are checked. */
  readonly value?:
    | "url"
    | "file"
    | "directory"
    | "number"
    | "duration"
    | "rate"
    | "id"
    | "name"
    | "method"
    | "kind"
    | "tier"
    | "format"
    | "severity"
  /** The only values that are allowed. */
  readonly choices?: ReadonlyArray<string>
  readonly repeatable?: boolean
  /** The environment variable that stands in for it. */
  readonly variable?: string
  /** The default, in words. */
  readonly default?: string
  /** One sentence without a full stop. */
  readonly description: string
}

/** A positional argument. */
export interface ArgumentSpec {
  readonly name: string
  readonly optional?: boolean
  readonly repeatable?: boolean
  readonly description: string
}

/** An example and what it does. */
export interface ExampleSpec {
  readonly command: string
  readonly does: string
}

/** The JSON object that a command prints. */
export interface JsonSpec {
  /** Its name and version, which it carries as `schema`. */
  readonly schema: string
  /** Its members beside `schema`, and what they hold. */
  readonly members: Readonly<Record<string, string>>
}

/** An exit code of a command and what it says about the database. */
export type ExitSpec = readonly [code: number, meaning: string]

/** A command with its options, or a group of commands. */
export interface CommandSpec {
  readonly name: string
  /** One line, without a full stop. */
  readonly summary: string
  /** Paragraphs below the summary. */
  readonly description?: ReadonlyArray<string>
  readonly options: Readonly<Record<string, OptionSpec>>
  readonly arguments?: ReadonlyArray<ArgumentSpec>
  readonly examples?: ReadonlyArray<ExampleSpec>
  readonly exits?: ReadonlyArray<ExitSpec>
  readonly commands?: ReadonlyArray<CommandSpec>
  /** The command that a group runs when none is named. */
  readonly defaultCommand?: string
  /** The exit code of wrong usage and configuration, where it is not 2. */
  readonly usageExit?: number
  /** Its `--json` output. */
  readonly json?: JsonSpec
}

/** The exit codes that every command shares. */
export const commonExits: ReadonlyArray<ExitSpec> = [
  [0, "done"],
  [1, "failed"],
  [2, "wrong usage or configuration; nothing was done"],
  [130, "interrupted by SIGINT (Ctrl-C)"],
  [143, "interrupted by SIGTERM"]
]

/** The exit codes of a command: its own words win over the common ones. */
export const exitsOf = (spec: CommandSpec): ReadonlyArray<ExitSpec> => {
  const table = new Map([...commonExits, ...(spec.exits ?? [])])
  return [...table].sort(([a], [b]) => a - b)
}

/** Every command with the words that lead to it, parents first. */
export const walk = (
  spec: CommandSpec,
  path: ReadonlyArray<string> = [spec.name]
): ReadonlyArray<readonly [path: ReadonlyArray<string>, spec: CommandSpec]> => [
  [path, spec],
  ...(spec.commands ?? []).flatMap((child) => walk(child, [...path, child.name]))
]
