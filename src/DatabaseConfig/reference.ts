/**
 * The table as documentation.
 */
import type { Definition } from "./definition.ts"
import { profiles } from "./profile.ts"
import { table } from "./table.ts"

/**
 * One option, for people.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reference {
  readonly option: string
  readonly doc: string
  /** Plinth's own, then libpq's. */
  readonly variables: ReadonlyArray<string>
  /** The parameter in a URL or a service file. */
  readonly keyword?: string | undefined
  /** One text where it is the same everywhere, else one for each profile. */
  readonly defaults: string
}

const defaultsOf = (definition: Definition<unknown, never>): string => {
  const shown = profiles.map((profile) => definition.show(definition.defaultOf(profile)))
  return shown.every((one) => one === shown[0])
    ? (shown[0] ?? "")
    : profiles.map((profile, index) => `${profile} ${shown[index]}`).join(", ")
}

const referenceOf = (option: string, definition: Definition<unknown, never>): Reference => ({
  option,
  doc: definition.doc,
  variables: [definition.variable, definition.libpq?.variable].filter((name) => name !== undefined),
  keyword: definition.libpq?.keyword,
  defaults: defaultsOf(definition)
})

/** Every option. */
export const references: ReadonlyArray<Reference> = Object.entries(table).map(([option, definition]) =>
  referenceOf(option, definition)
)

const row = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

const code = (text: string): string => `\`${text}\``

/** `docs/configuration.md`. */
export const markdown = (): string =>
  [
    "# Configuration",
    "",
    "Where a value comes from, the first that knows it: the option given by the program, the URL, Plinth's variable,",
    "the service file, libpq's variable, the default of the profile. An empty variable counts as absent. `plinth config`",
    "prints every option with its value, secrets masked, and where the value came from.",
    "",
    "Durations in variables name their unit (`500 ms`, `5 seconds`); `connect_timeout` in a URL and `PGCONNECT_TIMEOUT`",
    "are in seconds, as in libpq. Sizes may have one too (`16 MB`).",
    "",
    row(["Option", "Variables", "In a URL", "Default", "What it is"]),
    row(["---", "---", "---", "---", "---"]),
    ...references.map(({ defaults, doc, keyword, option, variables }) =>
      row([code(option), variables.map(code).join(", "), keyword === undefined ? "" : code(keyword), defaults, doc])
    ),
    ""
  ].join("\n")
