/**
 * Work in named steps: what each found or did, as a list for a person and for programs.
 */
import type { Style } from "./Style.ts"

/** How a step ended. */
export type StepState =
  /** Nothing had to be done. */
  | "ok"
  /** It was done now. */
  | "done"
  /** It would be done. */
  | "to do"
  /** It was not asked for. */
  | "skipped"
  /** It was done, and what it found needs attention. */
  | "warning"

/** A step. */
export interface Step {
  readonly step: string
  readonly state: StepState
  readonly detail: string
}

/** One line for each step. */
export const render = (steps: ReadonlyArray<Step>, style: Style): string => {
  const marks = { ok: style.good, done: style.good, "to do": style.warning, skipped: style.dim, warning: style.bad }
  const width = Math.max(...steps.map(({ step }) => step.length))
  return steps
    .map(({ detail, state, step }) => `${marks[state](state.padEnd(7))}  ${step.padEnd(width)}  ${detail}`.trimEnd())
    .join("\n")
}
