-- Gold is monthly; a dashboard adds months up. Months are weighted by their reviews.
SELECT beer_name,
       any_value(beer_style) AS beer_style,
       sum(total_reviews)::BIGINT AS total_reviews,
       round(sum(avg_rating * total_reviews) / sum(total_reviews), 2)::DECIMAL(4, 2) AS avg_rating
FROM gold.top_beers_by_rating
GROUP BY beer_id, beer_name
HAVING sum(total_reviews) >= least(50, (SELECT max(reviews) / 2 FROM (SELECT sum(total_reviews) AS reviews FROM gold.top_beers_by_rating GROUP BY beer_id)))
ORDER BY avg_rating DESC, total_reviews DESC, beer_name
LIMIT 5
