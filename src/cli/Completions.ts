/**
 * Shell completions, written from the definitions.
 */
import type { Shell } from "./Argv.ts"
import type { CommandSpec, OptionSpec } from "./Spec.ts"
import { walk } from "./Spec.ts"

/** The completion script of a shell. */
export const completions = (root: CommandSpec, shell: Shell): string => {
  switch (shell) {
    case "bash":
      return bash(root)
    case "zsh":
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(root)}`
    case "fish":
      return fish(root)
  }
}

// zsh runs the bash function through its own bridge, so that the two cannot differ.
const bash = (root: CommandSpec): string => {
  const commands = walk(root)
  const words = commands.map(([path, spec]) => {
    const children = (spec.commands ?? []).map((command) => command.name)
    const options = Object.values(spec.options).map((option) => `--${option.name}`)
    return `    "${path.join(" ")}") words="${[...children, ...options, "--help"].join(" ")}" ;;`
  })
  const values = distinctOptions(root).flatMap((option) => {
    if (option.choices !== undefined) {
      return [`    --${option.name}) COMPREPLY=($(compgen -W "${option.choices.join(" ")}" -- "$word")); return ;;`]
    }
    if (option.value === "directory") return [`    --${option.name}) COMPREPLY=($(compgen -d -- "$word")); return ;;`]
    if (option.value === "file") return [`    --${option.name}) COMPREPLY=($(compgen -f -- "$word")); return ;;`]
    return option.value === undefined ? [] : [`    --${option.name}) return ;;`]
  })
  return `_${root.name}() {
  local word="\${COMP_WORDS[COMP_CWORD]}" path="${root.name}" words part
  COMPREPLY=()
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
${values.join("\n")}
  esac
  for part in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $part" in
      ${commands
        .slice(1)
        .map(([path]) => `"${path.join(" ")}"`)
        .join("|")}) path="$path $part" ;;
    esac
  done
  case "$path" in
${words.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _${root.name} ${root.name}`
}

const fish = (root: CommandSpec): string => {
  const lines = walk(root).flatMap(([path, spec]) => {
    const children = (spec.commands ?? []).map((command) => command.name)
    const seen = path.slice(1).map((word) => `__fish_seen_subcommand_from ${word}`)
    const unseen = children.length === 0 ? [] : [`not __fish_seen_subcommand_from ${children.join(" ")}`]
    const when = [...seen, ...unseen].join("; and ")
    const condition = when === "" ? "" : ` -n "${when}"`
    return [
      ...(spec.commands ?? []).map(
        (command) => `complete -c ${root.name} -f${condition} -a ${command.name} -d ${quote(command.summary)}`
      ),
      ...Object.values(spec.options).map((option) => `complete -c ${root.name}${condition} ${fishOption(option)}`)
    ]
  })
  return lines.join("\n")
}

const fishOption = (option: OptionSpec): string =>
  [
    `-l ${option.name}`,
    ...(option.alias === undefined ? [] : [`-s ${option.alias}`]),
    ...(option.choices !== undefined ? [`-x -a ${quote(option.choices.join(" "))}`] : []),
    ...(option.choices === undefined && option.value !== undefined ? ["-r"] : []),
    `-d ${quote(option.description)}`
  ].join(" ")

const distinctOptions = (root: CommandSpec): ReadonlyArray<OptionSpec> => [
  ...new Map(
    walk(root)
      .flatMap(([, spec]) => Object.values(spec.options))
      .map((option) => [option.name, option])
  ).values()
]

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
