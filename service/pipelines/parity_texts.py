"""The fixed texts on which an exported graph has to agree with its reference.

English, Chinese and mixed; very short, ordinary, and longer than any token limit of ours; with
the punctuation, numbers and symbols that item texts carry.
"""

_ENGLISH = (
    "Small balcony herb garden with basil, thyme and mint in terracotta pots",
    "Hand-built oak bookshelf for a narrow hallway",
    "How to knit a chunky scarf in one weekend",
    "Sourdough bread with a dark crust, baked in a Dutch oven",
    "Minimalist living room in beige and grey, with one large plant",
    "Toy Story (1995). Adventure, Animation, Children, Comedy, Fantasy",
    "The Matrix (1999). Action, Sci-Fi, Thriller",
    "Water lilies at dusk, oil on canvas, 1908",
    "A dog runs along the beach with a stick in its mouth",
    "Two children build a sandcastle while their parents watch",
    "Waterproof hiking boots, size 42, ankle high, brown leather",
    "Noise-cancelling headphones with 30 hours of battery life",
    "Wedding invitation with pressed flowers and handmade paper",
    "Five stretches for people who sit all day",
    "Restoring a 1974 bicycle: frame, wheels, paint",
    "Vegetarian lasagne with spinach and ricotta for eight people",
    "Watercolour brushes for beginners: which three to buy first",
    "Cabin in the Norwegian woods, built from recycled timber",
    "Why do cats purr? A short explanation",
    "Not suitable for children under three years: small parts",
)
_CHINESE = (
    "阳台小花园，种罗勒、百里香和薄荷",
    "番茄炒蛋，家常做法，十分钟就好",
    "红烧肉：五花肉、冰糖、生抽、老抽、八角",
    "手工编织的羊毛围巾，适合冬天",
    "北欧风格的客厅，米色沙发和一盆大绿植",
    "儿童防水登山鞋，棕色，三十二码",
    "这部电影讲的是一个孩子和他的玩具",
    "清蒸鲈鱼，葱姜丝，淋热油",
    "如何在一个周末学会做陶艺",
    "降噪耳机，续航三十小时",
    "春节剪纸图案，适合贴在窗户上",
    "水墨山水画，绢本，清代",
    "不适合三岁以下儿童使用",
    "小户型收纳的十个办法",
    "杭州西湖一日游路线",
    "素食麻婆豆腐，少油少盐",
    "婚礼请柬，手工纸，压花",
    "怎样给自行车换内胎",
)
_MIXED = (
    "DIY 手账本: washi tape 和印章",
    "iPhone 15 手机壳，透明 TPU",
    "巧克力 brownie 的做法，不用烤箱",
    "IKEA 书架改造 before & after",
    "Yoga 入门：5 个动作，每天 10 分钟",
    "Vintage 牛仔外套 size M，九成新",
    "抹茶 latte，少糖，oat milk",
    "Python 爬虫入门 tutorial",
    "日式 ramen 汤底 recipe",
    "Tokyo 旅行 vlog，四天三夜",
)
_ODD = (
    "a",
    "猫",
    "?",
    "7",
    "Ω",
    "ok",
    "$19.99",
    "50% off!!!",
    "C++",
    "naïve café, Ærøskøbing, žluťoučký kůň",
    "ＦＵＬＬ　ＷＩＤＴＨ　１２３",
    "繁體中文：陽臺花園與陶藝",
    "emoji 🌿🪴🏡 and text",
    "tabs\tand\nnew lines   and   spaces",
    "www.example.org/path?query=1&other=2",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "ALL CAPITALS AND nOt",
    "«quotes» “curly” ‘single’ — dash … dots",
)
_LONG = (
    "A long description of a garden that goes on and on. " * 60,
    "这是一段很长的描述，讲的是阳台上的花园。" * 60,
    "mixed 中文 and English, one after the other; " * 70,
    "word " * 700,
    "字" * 1200,
    "A paragraph of middling length, the kind a shop writes under a picture: what it is made of, "
    "how large it is, how to wash it, and whom it might please as a present. " * 2,
)

PARITY_TEXTS: tuple[str, ...] = _ENGLISH + _CHINESE + _MIXED + _ODD + _LONG
