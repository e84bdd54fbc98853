/** The sources of the package as they are on disk. */
import { readdirSync, readFileSync } from "node:fs"
import { join, relative, sep } from "node:path"
import type { Tree } from "./architecture.ts"

/** Every TypeScript file below `root/src`. */
export const sourcesIn = (root: string): Tree => {
  const src = join(root, "src")
  return new Map(
    readdirSync(src, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((file) => [relative(src, file).split(sep).join("/"), readFileSync(file, "utf8")])
  )
}
