// Prints the reference of bff-client as Markdown, from the comments in web/client/types.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const client = new URL('../../web/client/', import.meta.url)
const ts = createRequire(client)('typescript')
const { name: distribution, exports: exported } = JSON.parse(readFileSync(new URL('package.json', client), 'utf8'))
// `package.json` is exported as a file, without types.
const entries = Object.fromEntries(Object.entries(exported).filter(([, one]) => one.types))
const files = Object.values(entries).map(one => fileURLToPath(new URL(one.types, client)))
const program = ts.createProgram(files, { skipLibCheck: true, noEmit: true, strict: true })
const checker = program.getTypeChecker()
const FLAGS = ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope
// The members of types that are listed already, with the name of the type.
const known = new Map()
const out = [
  '# Client API',
  '',
  'Made from the comments in the type declarations. The package\'s README (`web/client/README.md`) shows how the parts are used together.',
]

const text = parts => ts.displayPartsToString(parts).trim().replaceAll('\r', '')
const escaped = prose => prose.split(/(`[^`]*`)/).map(part => (part.startsWith('`') ? part : part.replaceAll('<', '&lt;'))).join('')
const short = type => type.replace(/import\("[^"]*"\)\./g, '').replace(/\s+/g, ' ')

function documentation(symbol) {
  const lines = []
  const said = text(symbol.getDocumentationComment(checker))
  if (said) lines.push(escaped(said), '')
  for (const tag of symbol.getJsDocTags(checker)) {
    if (tag.name !== 'param' && tag.name !== 'returns') continue
    const [first, ...rest] = text(tag.text).split(/\s+/)
    const what = tag.name === 'param' ? `\`${first}\`: ${escaped(rest.join(' '))}` : `returns: ${escaped([first, ...rest].join(' '))}`
    if (tag.name === 'returns' || rest.length > 0) lines.push(`- ${what}`)
  }
  return lines.at(-1)?.startsWith('- ') ? [...lines, ''] : lines
}

// Members that the package itself declares: not those of Array, Error or Promise.
const own = symbol => symbol.declarations?.some(one => one.getSourceFile().fileName.includes('/web/client/types/'))

function members(type) {
  return checker.getPropertiesOfType(type).filter(own).filter(one => !one.name.startsWith('_'))
}

function member(symbol, where) {
  const type = checker.getTypeOfSymbolAtLocation(symbol, where)
  const optional = symbol.flags & ts.SymbolFlags.Optional ? '?' : ''
  const shown = short(checker.typeToString(type, where, FLAGS))
  const said = escaped(text(symbol.getDocumentationComment(checker))).replaceAll('\n', ' ')
  return `- \`${symbol.name}${optional}: ${shown.length > 300 ? '…' : shown}\`${said ? `: ${said}` : ''}`
}

for (const [entry, { types }] of Object.entries(entries)) {
  const source = program.getSourceFile(fileURLToPath(new URL(types, client)))
  const module = checker.getSymbolAtLocation(source)
  if (module === undefined) {
    out.push('', `## ${distribution}${entry.slice(1)}`, '', 'The script of the shared worker. It exports nothing.')
    continue
  }
  out.push('', `## ${distribution}${entry.slice(1)}`)
  const exported = checker.getExportsOfModule(module).toSorted((a, b) => a.name.localeCompare(b.name, 'en'))
  for (const alias of exported) {
    const symbol = alias.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(alias) : alias
    const where = symbol.declarations[0]
    out.push('', `### \`${alias.name}\``, '')
    if (symbol.flags & (ts.SymbolFlags.Function | ts.SymbolFlags.Variable)) {
      const type = checker.getTypeOfSymbolAtLocation(symbol, where)
      const calls = type.getCallSignatures()
      const shown = calls.length
        ? calls.map(one => `function ${alias.name}${short(checker.signatureToString(one, where, FLAGS))}`)
        : [`const ${alias.name}: ${short(checker.typeToString(type, where, FLAGS))}`]
      // An object that a function makes is listed member by member.
      const made = calls[0]?.getReturnType()
      const listed = made && !(made.flags & ts.TypeFlags.Primitive) ? members(made) : []
      out.push('```ts', ...shown.map(one => (one.length > 400 ? one.replace(/\): \{.*$/s, '): { … }') : one)), '```', '')
      out.push(...documentation(symbol))
      const rows = listed.map(one => member(one, where))
      const same = known.get(rows.join('\n'))
      if (same !== undefined) out.push(`The result is a \`${same}\`.`, '')
      else if (rows.length > 0) out.push(...rows, '')
    } else {
      const type = checker.getDeclaredTypeOfSymbol(symbol)
      out.push(...documentation(symbol))
      const listed = members(type)
      const rows = listed.map(one => member(one, where))
      known.set(rows.join('\n'), alias.name)
      if (rows.length > 0) out.push(...rows, '')
      else out.push('```ts', `type ${alias.name} = ${short(checker.typeToString(type, where, FLAGS | ts.TypeFormatFlags.InTypeAlias))}`, '```', '')
    }
    while (out.at(-1) === '') out.pop()
  }
}
process.stdout.write(`${out.join('\n')}\n`)
