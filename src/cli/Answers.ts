/**
 * What is answered from the definitions alone: help, version, completions and wrong usage.
 */
import { packageVersion } from "../internal/packageVersion.ts"
import type { Request } from "./Argv.ts"
import { completions } from "./Completions.ts"
import { help } from "./Help.ts"
import { root } from "./specs/root.ts"

/** A text for one of the streams, and the exit code. */
export interface Answer {
  readonly stream: "stdout" | "stderr"
  readonly text: string
  readonly code: number
}

/** The answer to everything but a command; `width` is that of the terminal. */
export const answer = (request: Exclude<Request, { readonly _tag: "Run" }>, width: number): Answer => {
  const result = (text: string): Answer => ({ stream: "stdout", text: `${text}\n`, code: 0 })
  switch (request._tag) {
    case "Version":
      return result(packageVersion)
    case "Help":
      return result(help(request.path, request.spec, Math.min(width || 100, 120)))
    case "Completions":
      return result(completions(root, request.shell))
    case "Refused":
      return { stream: "stderr", text: `Error: ${request.problem}. ${request.advice}\n`, code: request.code }
  }
}
