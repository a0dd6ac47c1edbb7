"""How well does a text answer a query, when a model reads the two together?"""
