"""Texts on which tokenizers tend to differ: scripts, code, emoji, digits, white space, contractions, marks."""
SAMPLES = {
    "latin": "Once upon a time, in Nova Haven, don't we'll THEY'RE it's Ünïcödé naïve café — “quotes” … "
             "½ ⅷ ß ŒUVRE Ǆ ǅ",
    "greek": "Ἀρχὴ σοφίας φόβος Κυρίου, καὶ σύνεσις ἁγίων· 42 λέξεις, ὅπως «αὐτό».",
    "cyrillic": "Все счастливые семьи похожи друг на друга; ёлка, Україна, њ, 1869 год — и т.д.",
    "arabic": "كان يا ما كان في قديم الزمان، ١٢٣٤ سنة؛ «نصّ» مُشَكَّل بِالكامِل‌ و نیم‌فاصله",
    "hebrew": "בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם וְאֵת הָאָרֶץ׃ צ'ק 5786",
    "devanagari": "सभी मनुष्य जन्म से स्वतंत्र हैं। १२३ क्षत्रिय ज्ञान ऑफ़िस",
    "chinese": "人人生而自由，在尊严和权利上一律平等。2026年11月28日，𠀀𠮷野家「引用」",
    "japanese": "すべての人間は、生まれながらにして自由であり、ｶﾀｶﾅとカタカナ、々〆ー１２３。",
    "korean": "모든 인간은 태어날 때부터 자유로우며 12개, 각 각",
    "thai": "มนุษย์ทั้งหลายเกิดมามีอิสระ ๑๒๓ เท่าเทียมกัน",
    "tamil": "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே ௧௨௩",
    "georgian and armenian": "ყველა ადამიანი იბადება თავისუფალი. Բոլոր մարդիկ ծնվում են ազատ։ 7",
    "python": "def f(x: int = 0x1F) -> str:\n    \"\"\"Doc.\"\"\"\n"
              "\treturn f'{x!r:>10}' if x**2 >= 1e-5 else \"\\n\"  # 100%\n\n\n"
              "class A(B):\n        pass\n",
    "c": "#include <stdio.h>\r\nint main(void) {\r\n\tprintf(\"%d\\n\", a[i]->b ? ~x : y << 2);  /* ok */\r\n}\r\n",
    "html and json": "<!doctype html><a href=\"https://example.com/?q=1&b=%20\">x</a>"
                     "{\"a\": [1, 2.5, null], \"b\": {}}",
    "shell and latex": "$ ls -la | grep -v '^d' && rm -rf ./*.o; $\\frac{a_1}{b^{2}}$ \\\\ % comment",
    "emoji": "👩‍👩‍👧‍👦👍🏽🏳️‍🌈 🇩🇪🇫🇷 ☺️ ❤ 1️⃣ 🫠🫡",
    "digits": "1 12 123 1234 12345 1234567890 3.14159 1,000,000 0x1F ٣٤ ४५ ½ ² ① Ⅳ 〇 a1b22c333 1st 2nd",
    "spaces": "a  b   c\td\t\te \t f\n g\n\nh\n\n\n  i \n \n j\r\n\r\nk\u00a0l\u2003m\u3000n\u200bo\u2028p\u0085q   ",
    "spaces alone": "   ", "line ends alone": "\n\n\n", "mixed at the end": "end. \n\t ", "begins with spaces": "    x",
    "contractions": "I'm you're he'd she'll we've can't 'tis 'S 'LL 'Re ''s a's'b O'Neill d'Artagnan rock'n'roll 'ſ",
    "controls": "\x00\x01\x07\x1b[31m\x7f\x80 \ufeff \ufffd \U0010ffff \ue000",
    "combining": "e\u0301 é a\u0308 ä n\u0303o \u0301alone Å Å \u1100\u1161\u11a8",
    "marks": "a<|im_start|>user\nHi<|im_end|>\n<|endoftext|>b <|im_sta <repo_name>x<file_sep>",
    "marks of others": "<s></s>[INST]<|eot_id|><unk><pad>",
    "long word": "a" * 300 + "ß" * 40 + "!" * 70 + "-" * 90,
    "mathematics": "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β), ℕ ⊆ ℕ₀ ⊂ ℤ, ∑ᵢ xᵢ² ≤ √π · 𝕏 𝒜 𝟙",
}
