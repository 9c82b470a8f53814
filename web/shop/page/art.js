/** The drawings of the products, by key; a parcel for products without one. Colours come from the tile below. */
import { svg } from './render.js';

/** @typedef {ReturnType<typeof svg>} Drawing */

const A = svg`fill="var(--art-a)"`;
const B = svg`fill="var(--art-b)"`;
const C = svg`fill="var(--art-c)"`;
const SHADE = svg`fill="#000" opacity=".1"`;
const line = (/** @type {string} */ colour, width = 4) =>
  svg`fill="none" stroke="var(--art-${colour})" stroke-width="${width}" stroke-linecap="round" stroke-linejoin="round"`;

/**
 * Each in a field of 160 by 160, with its base at y = 132.
 * @satisfies {Record<string, Drawing>}
 */
const SHAPES = {
  mug: svg`<path d="M106 72h10c22 0 22 36 0 36h-12" ${line('a', 9)}/><path d="M44 56h64v58a18 18 0 0 1-18 18H62a18 18 0 0 1-18-18z" ${A}/>
    <path d="M92 56h16v58a18 18 0 0 1-18 18h-8c8-4 10-10 10-18z" ${SHADE}/><path d="M44 72h64v12H44z" ${B}/><ellipse cx="76" cy="56" rx="32" ry="6" ${C}/>
    <path d="M66 42c-6-7 6-11 0-19M84 42c-6-7 6-11 0-19" ${line('c', 4)}/>`,
  teapot: svg`<path d="M36 84C20 82 20 66 12 60" ${line('a', 10)}/><path d="M120 74c28-8 30 36-4 36" ${line('a', 8)}/>
    <path d="M34 92c0-26 20-40 46-40s46 14 46 40c0 24-14 40-30 40H64c-16 0-30-16-30-40z" ${A}/>
    <path d="M106 60c14 7 20 18 20 32 0 24-14 40-30 40h-12c22-14 32-44 22-72z" ${SHADE}/><path d="M54 60c6-6 16-8 26-8s20 2 26 8z" ${B}/><circle cx="80" cy="44" r="8" ${C}/>`,
  lamp: svg`<path d="M84 22 48 62l36 66" ${line('c', 6)}/><circle cx="48" cy="62" r="7" ${B}/><path d="M56 132a28 12 0 0 1 56 0z" ${A}/>
    <path d="m74 14 26-4 26 40-58 8z" ${A}/><path d="m100 10 26 40-18 2.500-20-40.500z" ${SHADE}/><path d="m68 58 58-8 20 56H84z" ${B} opacity=".35"/><circle cx="98" cy="54" r="9" ${B}/>`,
  blanket: svg`<path d="M28 52a14 14 0 0 1 14-14h76a14 14 0 0 1 14 14v18H28z" ${B}/><path d="M28 62h104v24H28z" ${A}/><path d="M28 86h104v24H28z" ${B}/><path d="M28 110h104v14a8 8 0 0 1-8 8H36a8 8 0 0 1-8-8z" ${A}/>
    <path d="M28 70h104M28 94h104M28 118h104" ${line('c', 3)} stroke-dasharray="1 8"/><path d="M96 38h22a14 14 0 0 1 14 14v72a8 8 0 0 1-8 8H96z" ${SHADE}/><path d="M44 132v9M56 132v9M68 132v9M80 132v9M92 132v9M104 132v9M116 132v9" ${line('c', 3)}/>`,
  notebook: svg`<path d="M46 30h66a8 8 0 0 1 8 8v86a8 8 0 0 1-8 8H46z" ${A}/><path d="M46 30h14v102H46a6 6 0 0 1-6-6V36a6 6 0 0 1 6-6z" ${C}/><path d="M104 30h8v102h-8z" ${B}/>
    <path d="M72 54h22v16H72z" fill="#fff" opacity=".75"/><path d="M76 60h14M76 65h9" ${line('c', 2)}/><path d="M82 132v14l5-5 5 5v-14z" ${B}/>`,
  pen: svg`<g transform="rotate(38 80 82)"><path d="M72 20h16a4 4 0 0 1 4 4v72H68V24a4 4 0 0 1 4-4z" ${A}/><path d="M82 20h6a4 4 0 0 1 4 4v72h-10z" ${SHADE}/><path d="M68 96h24l-9 34h-6z" ${B}/><path d="m77 130 3 14 3-14z" ${C}/><path d="M66 88h28v9H66z" ${C}/><path d="M94 26v38" ${line('c', 5)}/></g>
    <path d="M22 128c14-12 20 10 34 0" ${line('c', 3)}/>`,
  plant: svg`<path d="M80 98C80 66 78 44 82 22M80 92C74 66 58 52 36 48M80 92c6-24 22-38 44-42" ${line('c', 4)}/>
    <path d="M82 18c14 12 14 34 0 46-14-12-14-34 0-46zM34 44c20-6 36 8 40 28-20 4-38-8-40-28zM126 46c-20-8-36 4-42 24 20 6 38-4 42-24zM46 78c14-6 26 0 32 14-14 6-28 0-32-14zM116 78c-14-6-26 0-32 14 14 6 28 0 32-14z" ${A}/>
    <path d="M50 94h60l-7 34a5 5 0 0 1-5 4H62a5 5 0 0 1-5-4z" ${B}/><path d="M92 94h18l-7 34a5 5 0 0 1-5 4H86z" ${SHADE}/><path d="M46 90h68v12H46z" ${B}/>`,
  bike: svg`<path d="M18 92c2-20 18-30 40-30l18-18h26c10 0 16 8 18 18 14 2 22 12 22 30a4 4 0 0 1-4 4H22a4 4 0 0 1-4-4z" ${A}/><path d="M76 50h24c6 0 10 4 12 12H64z" fill="#fff" opacity=".75"/>
    <path d="M18 78h124v10H18z" ${B}/><circle cx="48" cy="104" r="24" ${C}/><circle cx="114" cy="104" r="24" ${C}/><circle cx="48" cy="104" r="10" ${B}/><circle cx="114" cy="104" r="10" ${B}/><circle cx="86" cy="40" r="10" ${B}/>`,
  parcel: svg`<path d="M32 58h96v66a8 8 0 0 1-8 8H40a8 8 0 0 1-8-8z" ${A}/><path d="m42 38-10 20h96l-10-20z" ${B}/><path d="M70 38h20l3 20v22H67V58z" ${C}/>`,
};

/** @type {Map<string, Drawing>} */
const drawings = new Map(
  Object.entries(SHAPES).map(([key, shapes]) => [
    key,
    svg`<svg class="drawing" viewBox="0 0 160 160" aria-hidden="true" focusable="false"><ellipse cx="80" cy="134" rx="54" ry="5" ${SHADE}/>${shapes}</svg>`,
  ]),
);

/** @param {string} key */
export const drawing = (key) => drawings.get(key) ?? drawings.get('parcel');

/** The key of the drawing for an order's line, which has only a sku. @param {string} sku */
export const artOf = (sku) => sku.replace(/-[^-]*$/, '');
